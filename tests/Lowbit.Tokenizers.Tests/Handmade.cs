using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.Json;

namespace Lowbit.Tokenizers.Tests;

/// <summary>Small tokenizers made here, in every file format, and a folder that goes with the test.</summary>
internal sealed class Handmade : IDisposable
{
    public string Folder { get; } = Directory.CreateTempSubdirectory("lowbit-tokenizer-").FullName;

    public string Write(string name, string content) => Write(name, Encoding.UTF8.GetBytes(content));

    public string Write(string name, byte[] content)
    {
        string path = Path.Combine(Folder, name);
        File.WriteAllBytes(path, content);
        return path;
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);

    /// <summary>The character that stands for a byte in byte-level files, computed apart from the product.</summary>
    public static char ByteLetter(int value)
    {
        int[] printable = [.. Enumerable.Range('!', '~' - '!' + 1), .. Enumerable.Range(0xA1, 0xAC - 0xA1 + 1), .. Enumerable.Range(0xAE, 0xFF - 0xAE + 1)];
        if (printable.Contains(value)) return (char)value;
        return (char)(256 + Enumerable.Range(0, value).Count(other => !printable.Contains(other)));
    }

    /// <summary>All bytes as tokens 0 to 255, then what the merges make.</summary>
    public static (List<string> Tokens, List<string> Merges) ByteLevel(params string[] merges)
    {
        List<string> tokens = [.. Enumerable.Range(0, 256).Select(value => ByteLetter(value).ToString())];
        tokens.AddRange(merges.Select(merge => merge.Replace(" ", "")));
        return (tokens, [.. merges]);
    }

    /// <summary>A byte-level <c>tokenizer.json</c> with special tokens 300 and 301 and the added token 302.</summary>
    public static string ByteLevelJson(string preTokenizer = """{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}""", string normalizer = "null", string added = "")
    {
        (List<string> tokens, List<string> merges) = ByteLevel("h e", "l l", "he ll", "hell o", "Ġ w", "o r");
        string vocabulary = string.Join(',', tokens.Select((token, id) => $"{JsonSerializer.Serialize(token)}:{id}"));
        return $$"""
            {"added_tokens":[
              {"id":300,"content":"<|begin|>","special":true,"normalized":false,"lstrip":false,"rstrip":false,"single_word":false},
              {"id":301,"content":"<|end|>","special":true,"normalized":false,"lstrip":false,"rstrip":false,"single_word":false},
              {"id":302,"content":"<tool>","special":false,"normalized":false,"lstrip":false,"rstrip":false,"single_word":false}{{added}}],
             "normalizer":{{normalizer}},
             "pre_tokenizer":{{preTokenizer}},
             "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|begin|>","type_id":0} },{"Sequence":{"id":"A","type_id":0} },{"SpecialToken":{"id":"<|end|>","type_id":0} }],
               "special_tokens":{"<|begin|>":{"id":"<|begin|>","ids":[300],"tokens":["<|begin|>"]},"<|end|>":{"id":"<|end|>","ids":[301],"tokens":["<|end|>"]} } },
             "decoder":{"type":"ByteLevel"},
             "model":{"type":"BPE","vocab":{ {{vocabulary}} },"merges":{{JsonSerializer.Serialize(merges)}} } }
            """;
    }

    /// <summary>A <c>tokenizer.json</c> of a model over characters.</summary>
    public static string CharacterJson(string model, string normalizer = "null", string preTokenizer = "null", string decoder = "null", string added = "") =>
        $$"""{"added_tokens":[{{added}}],"normalizer":{{normalizer}},"pre_tokenizer":{{preTokenizer}},"post_processor":null,"decoder":{{decoder}},"model":{{model}} }""";

    /// <summary>Pieces of a SentencePiece model: unknown, begin, end, the 256 bytes (ids 3 to 258), and these.</summary>
    public static List<(string Piece, float Score, int Type)> Pieces(params (string Piece, float Score, int Type)[] more) =>
        [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), .. Enumerable.Range(0, 256).Select(value => ($"<0x{value:X2}>", 0f, 6)), .. more];

    public static byte[] SentencePiece(IEnumerable<(string Piece, float Score, int Type)> pieces, int modelType, bool byteFallback = true, bool dummyPrefix = true, bool removeExtra = false, byte[]? characterMap = null)
    {
        List<byte> file = [];
        foreach ((string piece, float score, int type) in pieces)
        {
            byte[] bytes = new byte[4];
            BinaryPrimitives.WriteSingleLittleEndian(bytes, score);
            Field(file, 1, [.. Bytes(1, Encoding.UTF8.GetBytes(piece)), 2 << 3 | 5, .. bytes, 3 << 3, (byte)type]);
        }
        Field(file, 2, [3 << 3, (byte)modelType, .. Varint(35 << 3), (byte)(byteFallback ? 1 : 0)]);
        Field(file, 3, [.. Bytes(1, "identity"u8.ToArray()), .. Bytes(2, characterMap ?? []), 3 << 3, (byte)(dummyPrefix ? 1 : 0), 4 << 3, (byte)(removeExtra ? 1 : 0)]);
        return [.. file];

        static void Field(List<byte> target, int number, byte[] content) => target.AddRange(Bytes(number, content));
        static byte[] Bytes(int number, byte[] content) => [.. Varint(number << 3 | 2), .. Varint(content.Length), .. content];
        static byte[] Varint(int value) => value < 128 ? [(byte)value] : [(byte)(value | 128), .. Varint(value >> 7)];
    }

    public static byte[] Llama2C(params (string Token, float Score)[] tokens)
    {
        List<byte> file = [16, 0, 0, 0];
        foreach ((string token, float score) in tokens)
        {
            byte[] text = Encoding.UTF8.GetBytes(token), head = new byte[8];
            BinaryPrimitives.WriteSingleLittleEndian(head, score);
            BinaryPrimitives.WriteInt32LittleEndian(head.AsSpan(4), text.Length);
            file.AddRange([.. head, .. text]);
        }
        return [.. file];
    }
}
