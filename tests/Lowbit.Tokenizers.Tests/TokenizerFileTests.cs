using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Lowbit.Core;
using Lowbit.Tokenizers.Chat;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

/// <summary>Every file format, with small tokenizers made by hand.</summary>
public sealed class TokenizerFileTests : IDisposable
{
    private readonly Handmade _files = new();

    public void Dispose() => _files.Dispose();

    private Tokenizer FromJson(string json) => Tokenizer.Load(_files.Write("tokenizer.json", json));

    private static List<int> Encode(Tokenizer tokenizer, string text) => tokenizer.Encode(text, addSpecial: false);

    private static int[] Bytes(string text) => [.. Encoding.UTF8.GetBytes(text).Select(value => (int)value)];

    [Fact]
    public void Byte_level_pairs_merge_and_special_tokens_surround()
    {
        Tokenizer tokenizer = FromJson(Handmade.ByteLevelJson());
        Assert.Equal([300, 259, 260, 261, 'l', 'd', 301], tokenizer.Encode("hello world"));
        Assert.Equal("hello world", tokenizer.Decode([300, 259, 260, 261, 'l', 'd', 301]));
        Assert.Equal("<|begin|>hello", tokenizer.Decode([300, 259], skipSpecial: false));
        Assert.Equal((303, 300), (tokenizer.VocabularySize, tokenizer.BeginId));
        Assert.Equal([0xC3], tokenizer.TokenBytes(0xC3).ToArray());
        Assert.Empty(tokenizer.TokenBytes(280).ToArray()); // a gap
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.TokenBytes(303));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([-1]));
    }

    [Fact]
    public void Special_tokens_in_the_text_count_only_when_asked_for()
    {
        Tokenizer tokenizer = FromJson(Handmade.ByteLevelJson());
        Assert.Equal([.. "<|".Select(c => (int)c), .. "end|>".Select(c => (int)c)], Encode(tokenizer, "<|end|>"));
        Assert.Equal([301], tokenizer.Encode("<|end|>", addSpecial: false, parseSpecial: true));
        Assert.Equal(['a', 302, 'b'], Encode(tokenizer, "a<tool>b")); // no special token: always found
        Assert.True(tokenizer.IsSpecial(301) && !tokenizer.IsSpecial(302) && !tokenizer.IsSpecial(-1));
    }

    [Fact]
    public void Added_tokens_take_white_space_and_respect_words_and_the_longest_wins()
    {
        const string added = """
            ,{"id":303,"content":"<l>","lstrip":true},{"id":304,"content":"<r>","rstrip":true},{"id":305,"content":"cat","single_word":true},
            {"id":306,"content":"<tool>s"},{"id":307,"content":"É","normalized":true}
            """;
        Tokenizer tokenizer = FromJson(Handmade.ByteLevelJson(normalizer: """{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]}""", added: added));
        Assert.Equal(['a', 303, 'b'], Encode(tokenizer, "a \n<l>b"));
        Assert.Equal(['a', 304, 'b'], Encode(tokenizer, "a<r> \tb"));
        Assert.Equal([305, '.', 'c', 'a', 't', 's'], Encode(tokenizer, "cat.cats"));
        Assert.Equal([306, 302], Encode(tokenizer, "<tool>s<tool>"));
        Assert.Equal(['x', 307, 'y'], Encode(tokenizer, "XE\u0301y")); // found in normalized text, by its own normalized form
    }

    [Theory]
    [InlineData("""{"type":"NFC"}""", "e\u0301ﬁ", "éﬁ")]
    [InlineData("""{"type":"NFD"}""", "éﬁ", "e\u0301ﬁ")]
    [InlineData("""{"type":"NFKC"}""", "e\u0301ﬁ", "éfi")]
    [InlineData("""{"type":"NFKD"}""", "éﬁ", "e\u0301fi")]
    [InlineData("""{"type":"Lowercase"}""", "ÄB", "äb")]
    [InlineData("""{"type":"Strip","strip_left":true,"strip_right":false}""", " a ", "a ")]
    [InlineData("""{"type":"Prepend","prepend":"_"}""", "a", "_a")]
    [InlineData("""{"type":"Replace","pattern":{"String":"a"},"content":"bb"}""", "aca", "bbcbb")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}""", "a   b", "a b")]
    [InlineData("""{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"x"},{"type":"Replace","pattern":{"String":"x"},"content":"y"}]}""", "x", "yy")]
    public void Normalizers_change_the_text(string normalizer, string text, string expected) =>
        Assert.Equal(Bytes(expected), Encode(FromJson(Handmade.ByteLevelJson(normalizer: normalizer)), text));

    // In these vocabularies two letters merge unless a cut is between them: "·" shows where the pieces end.
    [Theory]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}""", "a b", " a| b")]
    [InlineData("""{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}""", "a b's", "a b's")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":"-"},"behavior":"Removed"},@]}""", "a-b", "a|b")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":"-"},"behavior":"Isolated"},@]}""", "a--b", "a|-|-|b")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithPrevious"},@]}""", "a--b", "a-|-|b")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithNext"},@]}""", "a--b", "a|-|-b")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":"-"},"behavior":"Contiguous"},@]}""", "a--b", "a|--|b")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Removed","invert":true},@]}""", "ab, c", "ab|c")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},@]}""", "a12½b", "a|1|2|½|b")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":false},@]}""", "a12b", "a|12|b")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Punctuation"},@]}""", "a.$b", "a|.|$|b")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},@]}""", "ab! c", "ab|!|c")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},@]}""", "ab! c", "ab!|c")]
    public void Pre_tokenizers_cut_the_text(string preTokenizer, string text, string expected)
    {
        const string last = """{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}""";
        string json = Handmade.ByteLevelJson(preTokenizer.Replace("@", last)).Replace("\"model\":{", "\"model\":{\"ignore_merges\":true,");
        // One more token for every piece, so that whole pieces show.
        string[] pieces = expected.Split('|');
        string tokens = string.Concat(pieces.Where(piece => Encoding.UTF8.GetByteCount(piece) > 1).Distinct()
            .Select((piece, i) => $"{System.Text.Json.JsonSerializer.Serialize(string.Concat(Encoding.UTF8.GetBytes(piece).Select(value => Handmade.ByteLetter(value))))}:{310 + i},"));
        Tokenizer tokenizer = FromJson(json.Replace("\"vocab\":{", "\"vocab\":{" + tokens));
        Assert.Equal(pieces, Encode(tokenizer, text).Select(id => tokenizer.Decode([id])));
    }

    private const string MarkedPairs = """{"type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":false,"vocab":{"<unk>":0,"▁":1,"a":2,"b":3,"▁a":4},"merges":[["▁","a"]]}""";

    [Fact]
    public void Marked_blanks_of_a_normalizer_come_and_go()
    {
        Tokenizer tokenizer = FromJson(Handmade.CharacterJson(MarkedPairs,
            normalizer: """{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}""",
            decoder: """{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}"""));
        Assert.Equal([4, 4, 3], Encode(tokenizer, "a ab"));
        Assert.Equal([1, 4, 0, 3], Encode(tokenizer, " aéüb"));
        Assert.Empty(Encode(tokenizer, ""));
        Assert.Equal("a ab", tokenizer.Decode([4, 4, 3]));
        Assert.Equal(" a ab", tokenizer.Decode([4, 4, 3], continues: true));
    }

    [Theory]
    [InlineData("always", "a", "4")]
    [InlineData("always", " a", "4")]
    [InlineData("always", "<x>a", "9 4")]
    [InlineData("first", "a<x>a", "4 9 2")]
    [InlineData("first", "<x>a", "9 2")]
    [InlineData("never", "a a", "2 4")]
    public void Metaspace_prepends_by_its_scheme(string scheme, string text, string expected)
    {
        string metaspace = $$"""{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{scheme}}","split":true}""";
        Tokenizer tokenizer = FromJson(Handmade.CharacterJson(MarkedPairs, preTokenizer: metaspace, decoder: metaspace, added: """{"id":9,"content":"<x>","special":false}"""));
        List<int> ids = Encode(tokenizer, text);
        Assert.Equal(expected, string.Join(' ', ids));
        Assert.Equal(scheme == "always" ? text.Replace(" a", "a").Replace("<x>a", "<x> a") : text, tokenizer.Decode([.. ids]));
    }

    [Fact]
    public void Unigram_of_a_json_file_takes_the_likeliest_cut()
    {
        Tokenizer tokenizer = FromJson(Handmade.CharacterJson("""{"type":"Unigram","unk_id":0,"byte_fallback":false,"vocab":[["<unk>",0],["a",-2],["b",-2],["ab",-3],["aba",-7]]}"""));
        Assert.Equal([3, 1, 0], Encode(tokenizer, "aba??"));
    }

    [Fact]
    public void Configuration_beside_the_file_tells_begin_end_and_template()
    {
        _files.Write("tokenizer_config.json", """{"bos_token":{"content":"<|end|>"},"eos_token":"<tool>","add_bos_token":true,"add_eos_token":false,"chat_template":[{"name":"tools","template":"t"},{"name":"default","template":"{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"}]}""");
        _files.Write("generation_config.json", """{"eos_token_id":[301,300]}""");
        _files.Write("tokenizer.json", Handmade.ByteLevelJson());
        Tokenizer tokenizer = Tokenizer.Load(_files.Folder);
        Assert.Equal(301, tokenizer.BeginId);
        Assert.Equal([302, 301, 300], tokenizer.EndIds);
        Assert.Equal([301, 300, 'a', 301], tokenizer.Encode("a")); // the template's own end token is not the configured one
        Assert.Equal("<|end|>hi<tool>", tokenizer.ChatTemplate!.Render([new ChatMessage("user", "hi")]));
        _files.Write("chat_template.jinja", "file");
        Assert.Equal("file", Tokenizer.Load(_files.Folder).ChatTemplate!.Render([]));
        _files.Write("tokenizer_config.json", """{"bos_token":"<|begin|>","eos_token":"<|end|>","add_bos_token":false,"add_eos_token":false}""");
        Assert.Equal(['a'], Tokenizer.Load(_files.Folder).Encode("a"));
    }

    [Theory]
    [InlineData("[]", "expected an object")]
    [InlineData("""{"eos_token_id":"end"}""", "eos_token_id is")]
    [InlineData("""{"eos_token_id":[301,2.5]}""", "eos_token_id[1] is 2.5")]
    public void A_wrong_generation_configuration_is_named(string generation, string named)
    {
        string path = _files.Write("generation_config.json", generation);
        _files.Write("tokenizer.json", Handmade.ByteLevelJson());
        LowbitFormatException fault = Assert.Throws<LowbitFormatException>(() => Tokenizer.Load(_files.Folder));
        Assert.StartsWith(path, fault.Message);
        Assert.Contains(named, fault.Message);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("""[{"name":"tools","template":"t"}]""")]
    [InlineData("""[{"name":"default"}]""")]
    public void Named_templates_without_a_default_are_none(string templates)
    {
        _files.Write("tokenizer_config.json", $$"""{"chat_template":{{templates}}}""");
        _files.Write("tokenizer.json", Handmade.ByteLevelJson());
        Assert.Null(Tokenizer.Load(_files.Folder).ChatTemplate);
    }

    [Fact]
    public void Gpt2_files_are_read()
    {
        (List<string> tokens, List<string> merges) = Handmade.ByteLevel("h e", "l l", "he ll");
        _files.Write("vocab.json", "{" + string.Join(',', tokens.Append("<|endoftext|>").Select((token, id) => $"{System.Text.Json.JsonSerializer.Serialize(token)}:{id}")) + "}");
        _files.Write("merges.txt", "#version: 0.2\n" + string.Join("\r\n", merges) + "\n");
        Tokenizer tokenizer = Tokenizer.Load(_files.Folder);
        Assert.Equal([258, 'o', 259], tokenizer.Encode("hello<|endoftext|>", parseSpecial: true));
        Assert.Equal([259], tokenizer.EndIds);
    }

    [Fact]
    public void SentencePiece_pairs_merge_by_score()
    {
        byte[] file = Handmade.SentencePiece(Handmade.Pieces(("▁", -9, 1), ("a", -9, 1), ("b", -9, 1), ("▁a", -2, 1), ("ab", -1, 1), ("<x>", 0, 4)), modelType: 2);
        Tokenizer tokenizer = Tokenizer.Load(_files.Write("tokenizer.model", file));
        Assert.Equal([1, 259, 263], tokenizer.Encode("ab"));         // ab scores higher than ▁a
        Assert.Equal([1, 262, 3 + 'c'], tokenizer.Encode("ac"));     // no piece for c: its byte
        Assert.Equal([1, 259, 263, 264, 3 + 0xC3, 3 + 0xA9], tokenizer.Encode("ab<x>é")); // a user-defined symbol, and bytes
        Assert.Equal("ab<x>é", tokenizer.Decode([1, 259, 263, 264, 3 + 0xC3, 3 + 0xA9]));
        Assert.Equal("  a", tokenizer.Decode([.. tokenizer.Encode("  a")]));
        Assert.Equal([2], tokenizer.EndIds);
    }

    [Fact]
    public void SentencePiece_equal_scores_merge_from_the_left()
    {
        byte[] file = Handmade.SentencePiece(Handmade.Pieces(("a", -9, 1), ("b", -9, 1), ("ab", -1, 1), ("ba", -1, 1)), modelType: 2, dummyPrefix: false);
        Tokenizer tokenizer = Tokenizer.Load(_files.Write("tokenizer.model", file));
        Assert.Equal([261, 259], Encode(tokenizer, "aba"));
        Assert.Equal([262, 260], Encode(tokenizer, "bab"));
    }

    [Fact]
    public void SentencePiece_unigram_and_blanks()
    {
        byte[] file = Handmade.SentencePiece(Handmade.Pieces(("▁", -3, 1), ("a", -2, 1), ("▁a", -2.5f, 1)), modelType: 1, removeExtra: true);
        Tokenizer tokenizer = Tokenizer.Load(_files.Write("tokenizer.model", file));
        Assert.Equal([261, 261, 260], Encode(tokenizer, "  a   aa "));
        Assert.Equal("a aa", tokenizer.Decode([261, 261, 260]));
    }

    [Fact]
    public void Llama2c_files_are_read()
    {
        byte[] file = Handmade.Llama2C([("<unk>", 0), ("\n<s>\n", 0), ("\n</s>\n", 0), .. Enumerable.Range(0, 256).Select(value => ($"<0x{value:X2}>", 0f)), (" ", -1), ("a", -2), (" a", -0.5f)]);
        Tokenizer tokenizer = Tokenizer.FromLlama2C(_files.Write("tok.bin", file), 262);
        Assert.Equal([1, 261, 260, 3 + 10], tokenizer.Encode("aa\n"));
        Assert.Equal("aa\n", tokenizer.Decode([1, 261, 260, 13]));
        Assert.Equal(" aa\n", tokenizer.Decode([261, 260, 13])); // the blank goes only after the begin token
        Assert.Throws<LowbitFormatException>(() => Tokenizer.FromLlama2C(_files.Write("tok.bin", file), 263));
        Assert.Throws<LowbitFormatException>(() => Tokenizer.FromLlama2C(_files.Write("tok.bin", file), 261));
        Assert.Throws<LowbitFormatException>(() => Tokenizer.FromLlama2C(_files.Write("tok.bin", file[..^3]), 262));
    }

    [Fact]
    public void Gguf_byte_level_vocabularies_follow_their_pre_tokenizer()
    {
        (List<string> tokens, List<string> merges) = Handmade.ByteLevel("1 2", "a b", "Ġ a");
        tokens.AddRange(["<|im_start|>", "<|im_end|>", "user defined"]);
        GgufVocabulary source = new("gpt2", tokens)
        {
            Pre = "gpt-2",
            Merges = merges,
            TokenTypes = [.. tokens.Select((_, id) => id < 259 ? 1 : id < 261 ? 3 : 4)],
            BeginId = 259,
            EndId = 0,
        };
        Tokenizer words = Tokenizer.FromGguf(source, "f"), digits = Tokenizer.FromGguf(source with { Pre = "starcoder" }, "f"), llama = Tokenizer.FromGguf(source with { Pre = "llama-bpe" }, "f");
        Assert.Equal([256, 257], words.Encode("12ab"));
        Assert.Equal(['1', '2', 257], digits.Encode("12ab"));
        Assert.Equal([259, 256, 257], llama.Encode("12ab")); // this family begins its texts
        Assert.Equal([256], Tokenizer.FromGguf(source with { Pre = "llama-bpe", AddBegin = false }, "f").Encode("12"));
        Assert.Equal([261, 258], words.Encode("user defined a"));
        Assert.Equal([259, 'x', 260], words.Encode("<|im_start|>x<|im_end|>", parseSpecial: true));
        Assert.Equal([0, 260], words.EndIds); // <|im_end|> ends chats whatever the file says
        Assert.Contains("«frobnicate»", Assert.Throws<LowbitFormatException>(() => Tokenizer.FromGguf(source with { Pre = "frobnicate" }, "f")).Message);
        Assert.Contains("«bert»", Assert.Throws<LowbitFormatException>(() => Tokenizer.FromGguf(source with { Model = "bert" }, "f")).Message);
        Assert.Throws<LowbitFormatException>(() => Tokenizer.FromGguf(source with { TokenTypes = [1] }, "f"));
        Assert.Throws<LowbitFormatException>(() => Tokenizer.FromGguf(source with { Merges = ["a zz"] }, "f"));
    }

    [Fact]
    public void Gguf_sentencepiece_vocabularies_put_a_blank_where_the_file_wants()
    {
        List<(string Piece, float Score, int Type)> pieces = Handmade.Pieces(("▁", -9, 1), ("a", -9, 1), ("▁a", -2, 1));
        GgufVocabulary source = new("llama", [.. pieces.Select(piece => piece.Piece)]) { Scores = [.. pieces.Select(piece => piece.Score)], TokenTypes = [.. pieces.Select(piece => piece.Type)] };
        Assert.Equal([1, 261, 261], Tokenizer.FromGguf(source, "f").Encode("a a"));
        Assert.Equal([1, 260, 261], Tokenizer.FromGguf(source with { AddSpacePrefix = false }, "f").Encode("a a"));
        Assert.Equal([261, 2], Tokenizer.FromGguf(source with { AddBegin = false, AddEnd = true }, "f").Encode("a"));
        Assert.Equal([1, 2, 261], Tokenizer.FromGguf(source, "f").Encode("</s>a", parseSpecial: true));
        Assert.Equal(" a", Tokenizer.FromGguf(source, "f").Decode([261], continues: true));
        Assert.Throws<LowbitFormatException>(() => Tokenizer.FromGguf(source with { Scores = null }, "f"));
    }

    [Theory]
    [InlineData("\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}", "«BertPreTokenizer»")]
    [InlineData("\"normalizer\":null", "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AA==\"}", "«Precompiled»")]
    [InlineData("\"decoder\":null", "\"decoder\":{\"type\":\"WordPiece\"}", "«WordPiece»")]
    [InlineData("\"post_processor\":null", "\"post_processor\":{\"type\":\"RobertaProcessing\"}", "«RobertaProcessing»")]
    [InlineData("\"type\":\"BPE\"", "\"type\":\"WordPiece\"", "«WordPiece»")]
    [InlineData("\"type\":\"BPE\"", "\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\"", "end_of_word_suffix")]
    [InlineData("\"a\":2", "\"a\":-2", "model.vocab")]
    [InlineData("\"a\":2", "\"a\":2000000000", "model.vocab")]
    [InlineData("[[\"▁\",\"a\"]]", "[[\"▁\",\"q\"]]", "merge 0")]
    [InlineData("[[\"▁\",\"a\"]]", "[[\"▁\"]]", "model.merges[0]")]
    [InlineData("[[\"▁\",\"a\"]]", "[\"\"]", "merge 0")]
    [InlineData("\"a\":2", "\"\\ud800\":2", "surrogate")]
    [InlineData("\"vocab\"", "\"bocab\"", "model.vocab")]
    public void Unsupported_steps_and_lies_are_named(string from, string to, string named)
    {
        string json = Handmade.CharacterJson(MarkedPairs);
        Assert.Contains(from, json);
        LowbitException fault = Assert.Throws<LowbitFormatException>(() => FromJson(json.Replace(from, to)));
        Assert.Contains(named, fault.Message);
        Assert.Contains("tokenizer.json", fault.Message);
    }

    [Fact]
    public void Missing_files_are_named()
    {
        Assert.Contains("no tokenizer", Assert.Throws<LowbitException>(() => Tokenizer.Load(_files.Folder)).Message);
        Assert.Contains("no such file", Assert.Throws<LowbitException>(() => Tokenizer.Load(_files.Folder + "/tokenizer.json")).Message);
        _files.Write("vocab.json", "{}");
        Assert.Contains("merges.txt", Assert.Throws<LowbitException>(() => Tokenizer.Load(_files.Folder)).Message);
    }

    [Fact]
    public void A_character_map_is_rejected_by_name()
    {
        byte[] file = Handmade.SentencePiece(Handmade.Pieces(), modelType: 1, characterMap: [1, 2, 3]);
        Assert.Contains("character map", Assert.Throws<LowbitFormatException>(() => Tokenizer.Load(_files.Write("tokenizer.model", file))).Message);
    }
}
