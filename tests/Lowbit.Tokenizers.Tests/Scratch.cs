using System;
using System.Diagnostics;
using System.IO;
using Lowbit.TestKit;
using Lowbit.Tokenizers.Patterns;
using Xunit;
namespace Lowbit.Tokenizers.Tests;
public sealed class Scratch
{
    [Fact]
    public void Time()
    {
        string s = "";
        foreach (string name in new[] { "smollm", "smollm", "gpt2", "llama2", "llama3", "qwen3", "TinyStories-656K", "deepseek-llm", "stories260K" })
        {
            var sw = Stopwatch.StartNew();
            Tokenizer t = Families.Get(name);
            s += $"{name} load {sw.ElapsedMilliseconds} ";
            foreach (string f in new[] { "wikitext-2/wiki.test.raw", "wikitext-2/wiki.valid.raw", "ptb/ptb.valid.txt", "tinystories/stories.txt" })
            {
                string text = File.ReadAllText(Shared.Path("data", f));
                sw.Restart();
                var m = WorkMeter.ForText(text.Length);
                var ids = t.Encode(text, false, false, m);
                s += $"{ids.Count} tokens {sw.ElapsedMilliseconds} ms {m.Steps / (double)text.Length:F1} steps/char; ";
            }
            s += "\n";
            foreach (string text in new[] { new string('a', 1000000), new string(' ', 1000000), new string(' ', 500000) + "x", new string('\n', 1000000), new string('7', 1000000), new string('é', 500000), new string('A', 1000000) })
            {
                sw.Restart();
                var m = WorkMeter.ForText(text.Length);
                try { var ids = t.Encode(text, false, false, m); s += $"  {ids.Count} tokens {sw.ElapsedMilliseconds} ms {m.Steps / (double)text.Length:F1}; "; } catch (Exception e) { s += e.Message; }
            }
            s += "\n";
        }
        File.WriteAllText("/tmp/time.txt", s);
    }
}
