using System.Linq;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Lowbit.Tokenizers.Unicode;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

public sealed class UnicodeNormalizerTests
{
    private static string C(string text) => UnicodeNormalizer.Normalize(text, compatibility: false, compose: true);

    private static string D(string text) => UnicodeNormalizer.Normalize(text, compatibility: false, compose: false);

    private static string KC(string text) => UnicodeNormalizer.Normalize(text, compatibility: true, compose: true);

    private static string KD(string text) => UnicodeNormalizer.Normalize(text, compatibility: true, compose: false);

    // From NormalizationTest.txt: source, NFC, NFD, NFKC, NFKD, as code points.
    [Theory]
    [InlineData("1E0A", "1E0A", "0044 0307", "1E0A", "0044 0307")]
    [InlineData("1E0A 0323", "1E0C 0307", "0044 0323 0307", "1E0C 0307", "0044 0323 0307")]
    [InlineData("0044 0307 0323", "1E0C 0307", "0044 0323 0307", "1E0C 0307", "0044 0323 0307")]
    [InlineData("212B", "00C5", "0041 030A", "00C5", "0041 030A")]
    [InlineData("FB01", "FB01", "FB01", "0066 0069", "0066 0069")]
    [InlineData("2163", "2163", "2163", "0049 0056", "0049 0056")]
    [InlineData("1E9B 0323", "1E9B 0323", "017F 0323 0307", "1E69", "0073 0323 0307")]
    [InlineData("AC00", "AC00", "1100 1161", "AC00", "1100 1161")]
    [InlineData("1112 1175 11C2", "D7A3", "1112 1175 11C2", "D7A3", "1112 1175 11C2")]
    [InlineData("0915 093C", "0915 093C", "0915 093C", "0915 093C", "0915 093C")]
    [InlineData("0958", "0915 093C", "0915 093C", "0915 093C", "0915 093C")]
    [InlineData("1D15E", "1D157 1D165", "1D157 1D165", "1D157 1D165", "1D157 1D165")]
    [InlineData("2F800", "4E3D", "4E3D", "4E3D", "4E3D")]
    [InlineData("0061 0315 0300 05AE 0300 0062", "00E0 05AE 0300 0315 0062", "0061 05AE 0300 0300 0315 0062", "00E0 05AE 0300 0315 0062", "0061 05AE 0300 0300 0315 0062")]
    [InlineData("0061 0300 0061", "00E0 0061", "0061 0300 0061", "00E0 0061", "0061 0300 0061")]
    [InlineData("FDFA", "FDFA", "FDFA", "0635 0644 0649 0020 0627 0644 0644 0647 0020 0639 0644 064A 0647 0020 0648 0633 0644 0645", "0635 0644 0649 0020 0627 0644 0644 0647 0020 0639 0644 064A 0647 0020 0648 0633 0644 0645")]
    [InlineData("11099 110BA", "1109A", "11099 110BA", "1109A", "11099 110BA")]
    [InlineData("0300 0061", "0300 0061", "0300 0061", "0300 0061", "0300 0061")]
    public void Forms_are_those_of_the_standard(string source, string nfc, string nfd, string nfkc, string nfkd)
    {
        string text = Text(source);
        Assert.Equal((Text(nfc), Text(nfd), Text(nfkc), Text(nfkd)), (C(text), D(text), KC(text), KD(text)));
    }

    private static readonly Gen<string> s_texts = Gen.Elements(
        Enumerable.Range(0x20, 0x3000).Concat(Enumerable.Range(0xAC00, 600)).Concat(Enumerable.Range(0xF900, 0x700)).Concat(Enumerable.Range(0x1D100, 0x100)))
        .Select(rune => char.ConvertFromUtf32(rune)).ListOf().Select(string.Concat);

    [Property(MaxTest = 500)]
    public Property Forms_are_stable_and_agree_with_each_other() => Prop.ForAll(s_texts.ToArbitrary(), text =>
    {
        Assert.Equal(C(text), C(C(text)));
        Assert.Equal(D(text), D(C(text)));
        Assert.Equal(C(text), C(D(text)));
        Assert.Equal(KC(text), KC(KD(text)));
        Assert.Equal(KC(text), C(KC(text)));
    });

    [Fact]
    public void Lone_surrogates_and_a_million_marks_pass()
    {
        Assert.Equal("\uD800é\uDC00", C("\uD800e\u0301\uDC00"));
        string marks = string.Concat(Enumerable.Repeat("\u0301\u0323", 500_000));
        Assert.Equal("ạ" + new string('\u0323', 499_999) + new string('\u0301', 500_000), C("a" + marks));
    }

    private static string Text(string runes) =>
        string.Concat(runes.Split(' ').Select(rune => new Rune(int.Parse(rune, System.Globalization.NumberStyles.HexNumber)).ToString()));
}
