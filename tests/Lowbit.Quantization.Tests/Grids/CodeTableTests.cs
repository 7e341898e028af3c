using System;
using System.Linq;
using Lowbit.Quantization.Grids;
using Xunit;

namespace Lowbit.Quantization.Tests.Grids;

public sealed class CodeTableTests
{
    [Fact]
    public void Codes_are_those_of_the_nearest_levels()
    {
        foreach (CodeTable table in new[] { CodeTable.NormalFloat4, CodeTable.StudentFloat4, CodeTable.Float4, CodeTable.Dynamic8 })
        {
            for (int i = -3000; i <= 3000; i++)
            {
                float value = i / 3000f;
                float nearest = table.Levels.Min(level => MathF.Abs(level - value));
                Assert.Equal(nearest, MathF.Abs(table.Levels[table.Encode(value)] - value));
            }
            for (int code = 0; code < table.Levels.Length; code++) Assert.Equal(table.Levels[code], table.Levels[table.Encode(table.Levels[code])]);
        }
    }

    [Fact]
    public void Levels_have_the_shape_of_their_papers()
    {
        // NF4 is the normal quantiles at eight and nine evenly spaced places, divided by the largest (offset 0.9677083).
        Assert.Equal(0.9677083, NormalDistribution(1.8481308 * CodeTable.NormalFloat4.Levels[15]), 1e-5);
        for (int k = 1; k < 8; k++)
            Assert.Equal(0.5 + (0.9677083 - 0.5) * k / 8, NormalDistribution(1.8481308 * CodeTable.NormalFloat4.Levels[7 + k]), 1e-4);
        for (int k = 1; k < 7; k++)
            Assert.Equal(0.5 + (0.9677083 - 0.5) * k / 7, NormalDistribution(-1.8481308 * CodeTable.NormalFloat4.Levels[7 - k]), 1e-4);
        Assert.Equal(256, CodeTable.Dynamic8.Levels.Distinct().Count());
        Assert.Equal([.. CodeTable.Dynamic8.Levels.Order()], CodeTable.Dynamic8.Levels.ToArray());
        Assert.Equal(0.55e-6f, CodeTable.Dynamic8.Levels.Where(level => level > 0).Min());
        for (int code = 0; code < 8; code++) Assert.Equal(-CodeTable.Float4.Levels[code], CodeTable.Float4.Levels[code + 8]);
    }

    [Fact]
    public void Student_levels_are_those_of_the_paper()
    {
        float[] paper = [-1, -0.628f, -0.455f, -0.334f, -0.237f, -0.153f, -0.075f, 0, 0.066f, 0.133f, 0.205f, 0.284f, 0.376f, 0.491f, 0.657f, 1];
        for (int code = 0; code < 16; code++) Assert.Equal(paper[code], CodeTable.StudentFloat4.Levels[code], 0.00051f);
    }

    // The integral of the density by Simpson's rule.
    private static double NormalDistribution(double x)
    {
        const int Steps = 1000;
        double sum = 0;
        for (int i = 0; i <= Steps; i++)
        {
            double t = x * i / Steps;
            sum += Math.Exp(-t * t / 2) * (i is 0 or Steps ? 1 : i % 2 == 1 ? 4 : 2);
        }
        return 0.5 + x / Steps / 3 * sum / Math.Sqrt(2 * Math.PI);
    }
}
