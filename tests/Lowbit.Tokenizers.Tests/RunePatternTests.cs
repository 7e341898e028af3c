using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Lowbit.Core;
using Lowbit.Tokenizers.Files;
using Lowbit.Tokenizers.Patterns;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

public sealed class RunePatternTests
{
    private static readonly string[] s_names =
    [
        "default", "gpt-2", "llama-bpe", "dbrx", "qwen2", "qwen35", "laguna", "starcoder", "smollm", "falcon", "deepseek-llm", "deepseek-coder",
        "deepseek-v3", "youtu", "bloom", "viking", "tekken", "chameleon", "gpt-4o", "tiny_aya", "superbpe", "seed-coder", "jais-2", "exaone-moe",
    ];

    // The runtime's \w and \b leave out letter numbers and spacing marks.
    private static readonly string[] s_patterns = [.. s_names.Except(["tiny_aya"]).SelectMany(name => GgufPreTokenizer.Find(name, "test").Patterns).Distinct()];

    private static List<string> Matches(string pattern, string text)
    {
        List<(int Start, int End)> matches = [];
        new RunePattern(pattern).FindAll(text, WorkMeter.ForText(text.Length), matches);
        return [.. matches.Select(match => text[match.Start..match.End])];
    }

    /// <summary>Pieces of text that the patterns tell apart, all in the basic plane, where the runtime's engine agrees.</summary>
    private static readonly string[] s_parts =
        ["a", "Zz", "é", "ß", "Ж", "中", "ひ", "한", "ا", "ª", "1", "42", "٣", "½", "Ⅷ", " ", "  ", "\t", "\n", "\r\n", "\u00A0", "\u3000", ".", "!?", "'s", "'LL", "'", "$", "~", "。", "～", "\u0301", "_", "-", "(", "|", "“", "\0", "\uFFFD"];

    [Property(MaxTest = 300)]
    public Property Known_patterns_match_as_the_engine_of_the_runtime() =>
        Prop.ForAll(Gen.Elements(s_parts).ListOf().Select(string.Concat).ToArbitrary(), Gen.Elements(s_patterns).ToArbitrary(), (text, pattern) =>
        {
            List<string> expected = [];
            int lastEnd = -1;
            foreach (Match match in Regex.Matches(text, pattern, RegexOptions.CultureInvariant | RegexOptions.Multiline))
            {
                if (match.Length == 0 && match.Index == lastEnd) continue;
                expected.Add(match.Value);
                lastEnd = match.Index + match.Length;
            }
            Assert.Equal(expected, Matches(pattern, text));
        });

    [Theory]
    [InlineData(@"\p{L}+", "a𝕌𝕟x1𐍈 𐐀", "a𝕌𝕟x|𐍈|𐐀")]                   // letters beyond the basic plane
    [InlineData(@"\p{N}", "𝟙2𐄇", "𝟙|2|𐄇")]
    [InlineData(@"[𐐀-𐑏]+", "a𐐀𐐨b", "𐐀𐐨")]
    [InlineData(@".", "🦙é", "🦙|é")]
    [InlineData(@"[^\s]+", "🦙 🦙", "🦙|🦙")]
    [InlineData(@"\p{L}++a|b", "aab", "b")]                              // possessive: gives nothing back
    [InlineData(@"(?>a+)b|a", "aab", "aab")]
    [InlineData(@"(?:ab|a)*+b|b", "abab", "b|b")]
    [InlineData(@"(?i:'s|'LL)", "'S'll'x", "'S|'ll")]
    [InlineData(@"(?i)a(?-i)b", "AbAB", "Ab")]
    [InlineData(@"\p{N}{1,3}", "1234567", "123|456|7")]
    [InlineData(@"(?:ab){2}", "ababab", "abab")]
    [InlineData(@"a{2}+", "aaaaa", "aaaa")]                               // Oniguruma: the repetition is repeated
    [InlineData(@"a+?b|a", "aab", "aab")]
    [InlineData(@"(?<!a)b", "abb", "b")]
    [InlineData(@"(?<=\p{L})\d", "a1 2", "1")]
    [InlineData(@"(?<!\p{L})x", "𝕌x x", "x")]                              // looks back over a whole pair
    [InlineData(@"\bab\b", "ab cab ab", "ab|ab")]
    [InlineData(@"a$", "a\nba", "a|a")]                                    // Oniguruma: lines
    [InlineData(@"\Aa|a\z", "aaa", "a|a")]
    [InlineData(@"[\p{L}&&[^\p{Han}]]+", "ab中c", "ab|c")]
    [InlineData(@"\p{Han}+|\P{Han}+", "ab中文、c", "ab|中文|、c")]
    [InlineData(@"[a-c[x-z]\d]+", "ax1-", "ax1")]
    [InlineData(@"[]a]+|[\]\-\\]", "]a-\\", "]a|-|\\")]
    [InlineData(@"\x{1F600}\x41\u0042", "😀AB", "😀AB")]
    [InlineData(@"x*", "xxax", "xx|x")]                                    // an empty match does not touch the one before
    [InlineData(@"(?=(\d{3})+(?!\d))", "1234567", "|")]
    public void Patterns_mean_what_Oniguruma_says(string pattern, string text, string expected) =>
        Assert.Equal(expected, string.Join('|', Matches(pattern, text)));

    [Theory]
    [InlineData("(a")]
    [InlineData("a)")]
    [InlineData("[a")]
    [InlineData("[b-a]")]
    [InlineData("*a")]
    [InlineData(@"\q")]
    [InlineData(@"\p{Klingon}")]
    [InlineData(@"\p{L")]
    [InlineData(@"(?<=ab)c")]
    [InlineData(@"(?P<x>a)")]
    [InlineData(@"[[:alpha:]]")]
    [InlineData("a{3,2}")]
    [InlineData(@"a\")]
    [InlineData(@"((((a{1000}){1000}){1000}){1000})")]
    [InlineData(@"(((){999999}){999999}){999999}")]
    public void Patterns_that_are_not_understood_are_rejected(string pattern) => Assert.Throws<LowbitException>(() => new RunePattern(pattern));

    [Theory]
    [InlineData(@"(a+)+b", 'a')]
    [InlineData(@"(a|a)*b", 'a')]
    [InlineData(@"(a*)*b", 'a')]
    [InlineData(@"(?:a?){50}a{50}b", 'a')]
    public void Exploding_patterns_end(string pattern, char letter)
    {
        LowbitException fault = Assert.Throws<LowbitException>(() => Matches(pattern, new string(letter, 200_000)));
        Assert.Contains("get the file again", fault.Message);
    }

    [Property(MaxTest = 500)]
    public void Any_pattern_compiles_or_is_rejected(string pattern)
    {
        if (pattern is null) return;
        try
        {
            Matches(pattern, "ab 12");
        }
        catch (LowbitException)
        {
        }
    }

    [Fact]
    public void Nested_groups_are_limited() =>
        Assert.Throws<LowbitException>(() => new RunePattern(new string('(', 100_000) + new string(')', 100_000)));

    /// <summary>
    /// Steps for each character must not grow with the length: here between 1 000 and 8 000 of them. Two families that group
    /// digits from the right look ahead to the end of a number for each group, and one cuts long blanks into pieces and
    /// looks for a line end behind each; there the meter ends the work.
    /// </summary>
    [Fact]
    public void Work_of_known_patterns_is_linear_in_hostile_text()
    {
        string[] runs = ["a", "A", " ", "\n", "\t ", "7", "é", ".", "中", "'", "ab ", "a'", " .", "\r\n", "𝕌", "( ", "\u0301"];
        foreach (string name in s_names.Except(["superbpe", "tiny_aya", "jais-2"]).Append("kimi-k2").Append("bailingmoe"))
        {
            PreTokenizationStep[] steps = [.. GgufPreTokenizer.Find(name, "test").Patterns.Select(pattern => PreTokenization.Split(pattern))];
            foreach (string run in runs)
            {
                foreach (string tail in new[] { "", "x", "!" })
                {
                    double few = Steps(1_000), many = Steps(8_000);
                    Assert.True(many < 8.5 * few && many < 200 * 8_000, $"{name} on {Regex.Escape(run)}: {few} and {many} steps");

                    double Steps(int length)
                    {
                        string text = string.Concat(Enumerable.Repeat(run, length / run.Length)) + tail;
                        WorkMeter meter = WorkMeter.ForText(text.Length);
                        PieceList pieces = new(text, true);
                        foreach (PreTokenizationStep step in steps) step(pieces, meter);
                        return meter.Steps;
                    }
                }
            }
        }
    }
}
