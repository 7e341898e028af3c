using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using FsCheck.Xunit;
using Lowbit.Core;
using Lowbit.Tokenizers.Chat;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

/// <summary>Damaged files: a message for the user or a tokenizer, and nothing else.</summary>
public sealed class HostileFileTests : IDisposable
{
    private const string Characters = """
        {"type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":true,"ignore_merges":false,"vocab":{"<unk>":0,"▁":1,"a":2,"b":3,"▁a":4,"<0x0A>":5},"merges":["▁ a"]}
        """;

    private readonly Handmade _files = new();

    public void Dispose() => _files.Dispose();

    private static byte[] Mutated(byte[] original, Random random)
    {
        List<byte> bytes = [.. original];
        for (int change = random.Next(1, 6); change > 0 && bytes.Count > 0; change--)
        {
            int at = random.Next(bytes.Count);
            switch (random.Next(5))
            {
                case 0: bytes[at] = (byte)random.Next(256); break;
                case 1: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 2: bytes.RemoveRange(at, Math.Min(random.Next(1, 40), bytes.Count - at)); break;
                case 3: bytes.InsertRange(random.Next(bytes.Count), bytes.GetRange(at, Math.Min(random.Next(1, 40), bytes.Count - at))); break;
                default: bytes.RemoveRange(at, bytes.Count - at); break;
            }
        }
        return [.. bytes];
    }

    private static void Use(Func<Tokenizer> load)
    {
        try
        {
            Tokenizer tokenizer = load();
            List<int> ids = tokenizer.Encode("Hello <|end|> é 12\n a", addSpecial: true, parseSpecial: true);
            if (ids.All(id => id < tokenizer.VocabularySize)) tokenizer.Decode([.. ids]);
            tokenizer.ChatTemplate?.Render([new ChatMessage("user", "x")]);
        }
        catch (LowbitException fault)
        {
            Assert.NotEmpty(fault.Message);
        }
    }

    [Property(MaxTest = 400)]
    public void Json_of_bytes(int seed) => Use(() => Tokenizer.Load(_files.Write("tokenizer.json", Mutated(Encoding.UTF8.GetBytes(Handmade.ByteLevelJson()), new Random(seed)))));

    [Property(MaxTest = 400)]
    public void Json_of_characters(int seed)
    {
        string json = Handmade.CharacterJson(Characters,
            normalizer: """{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"Regex":" +"},"content":"▁"},{"type":"NFKC"}]}""",
            preTokenizer: """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:[a-z])+?|\\p{L}{1,3}(?!x)"},"behavior":"Isolated","invert":false},{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}]}""",
            decoder: """{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}""",
            added: """{"id":7,"content":"<|end|>","special":true,"lstrip":true,"rstrip":true,"single_word":true,"normalized":true}""");
        Use(() => Tokenizer.Load(_files.Write("tokenizer.json", Mutated(Encoding.UTF8.GetBytes(json), new Random(seed)))));
    }

    [Property(MaxTest = 300)]
    public void Configuration(int seed)
    {
        _files.Write("tokenizer.json", Handmade.ByteLevelJson());
        const string config = """{"tokenizer_class":"LlamaTokenizer","legacy":false,"bos_token":{"content":"<|begin|>"},"eos_token":"<|end|>","add_bos_token":true,"add_eos_token":true,"chat_template":[{"name":"default","template":"{% for m in messages[0:1] %}{{ m.content|trim + '\n' }}{% endfor %}"}]}""";
        _files.Write("tokenizer_config.json", Mutated(Encoding.UTF8.GetBytes(config), new Random(seed)));
        _files.Write("generation_config.json", Mutated("""{"eos_token_id":[300,301]}"""u8.ToArray(), new Random(seed + 1)));
        Use(() => Tokenizer.Load(_files.Folder));
    }

    [Property(MaxTest = 400)]
    public void SentencePiece(int seed)
    {
        Random random = new(seed);
        byte[] file = Handmade.SentencePiece(Handmade.Pieces(("▁", -9, 1), ("a", -9, 1), ("▁a", -2, 1), ("<x>", 0, 4)), modelType: random.Next(1, 3));
        Use(() => Tokenizer.Load(_files.Write("tokenizer.model", Mutated(file, random))));
    }

    [Property(MaxTest = 300)]
    public void Gpt2_files(int seed)
    {
        Random random = new(seed);
        _files.Write("vocab.json", Mutated("""{"a":0,"b":1,"ab":2,"Ġa":3,"Ġ":4,"<|endoftext|>":5}"""u8.ToArray(), random));
        _files.Write("merges.txt", Mutated(Encoding.UTF8.GetBytes("#version: 0.2\na b\nĠ a\n"), random));
        Use(() => Tokenizer.Load(_files.Folder));
    }

    [Property(MaxTest = 300)]
    public void Llama2c(int seed)
    {
        byte[] file = Handmade.Llama2C(("<unk>", 0), ("<s>", 0), ("</s>", 0), ("a", -1), (" ", -2), (" a", -0.5f));
        Use(() => Tokenizer.FromLlama2C(_files.Write("tok.bin", Mutated(file, new Random(seed))), 6));
    }

    [Property(MaxTest = 500)]
    public void Gguf(int seed)
    {
        Random random = new(seed);
        string[] words = ["a", "b", "ab", "Ġ", "▁", "<0x0A>", "<unk>", "", "\uD800", "é", "<s>"];
        string[] tokens = [.. Enumerable.Range(0, random.Next(20)).Select(_ => words[random.Next(words.Length)])];
        GgufVocabulary source = new(random.Next(3) switch { 0 => "llama", 1 => "gpt2", _ => "t5" }, tokens)
        {
            Pre = random.Next(3) switch { 0 => null, 1 => "llama-bpe", _ => "qwen2" },
            Scores = random.Next(4) == 0 ? null : [.. tokens.Select(_ => random.Next(9) == 0 ? float.NaN : random.Next(5))],
            TokenTypes = random.Next(4) == 0 ? null : [.. tokens.Select(_ => random.Next(-1, 9))],
            Merges = random.Next(3) == 0 ? null : [.. Enumerable.Range(0, random.Next(4)).Select(_ => $"{words[random.Next(words.Length)]} {words[random.Next(words.Length)]}")],
            BeginId = random.Next(-5, 25),
            EndId = random.Next(-5, 25),
            UnknownId = random.Next(-5, 25),
            AddBegin = random.Next(2) == 0,
            AddEnd = random.Next(2) == 0,
        };
        Use(() => Tokenizer.FromGguf(source, "f"));
    }

    [Property(MaxTest = 1000)]
    public void Templates(int seed)
    {
        const string template = "{%- for m in messages if m.role != 'x' %}{% set ns = namespace(a=[1, 2.5, {'k': none}][::-1]) %}{{- m['content']|trim ~ loop.index0 % 2 -}}{% if not loop.last and ns.a is defined %}{{ ns.a|tojson(indent=2) }}{% elif 'a' in 'abc' %}b{% else %}{% endif %}{% endfor %}{# c #}{% macro f(x, y='z') %}{{ x.split(',')[-1] }}{% endmacro %}{{ f('a,b') if true else raise_exception('no') }}";
        string mutated = Encoding.UTF8.GetString(Mutated(Encoding.UTF8.GetBytes(template), new Random(seed)));
        try
        {
            new ChatTemplate(mutated).Render([new ChatMessage("user", "x"), new ChatMessage("assistant", "y")]);
        }
        catch (LowbitException fault)
        {
            Assert.Contains("chat template", fault.Message);
        }
    }
}
