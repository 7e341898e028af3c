using System;
using Lowbit.Cli.Shell;
using Xunit;

namespace Lowbit.Cli.Tests;

public class QuantitiesTests
{
    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(999, "999 B")]
    [InlineData(999.6, "1.00 kB")]
    [InlineData(98_362_432, "98.4 MB")]
    [InlineData(27e9, "27.0 GB")]
    public void Bytes(double bytes, string text) => Assert.Equal(text, Quantities.Bytes(bytes));

    [Theory]
    [InlineData(0, 3, "0.00")]
    [InlineData(38.11131, 4, "38.11")]
    [InlineData(0.0012345, 3, "0.00123")]
    [InlineData(622789.9, 4, "622790")]
    [InlineData(double.PositiveInfinity, 4, "Infinity")]
    public void Significant(double value, int digits, string text) => Assert.Equal(text, Quantities.Significant(value, digits));

    [Theory]
    [InlineData(0.2, "1 s")]
    [InlineData(59, "59 s")]
    [InlineData(185, "3:05")]
    [InlineData(3723, "1:02:03")]
    public void Duration(double seconds, string text) => Assert.Equal(text, Quantities.Duration(TimeSpan.FromSeconds(seconds)));
}
