using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;

namespace Lowbit.Tokenizers.Tests;

/// <summary>The metadata of a GGUF file, read for these tests alone.</summary>
internal static class GgufMetadata
{
    public static GgufVocabulary ReadVocabulary(string path)
    {
        Dictionary<string, object> values = Read(path);
        return new GgufVocabulary((string)values["tokenizer.ggml.model"], Strings("tokens")!)
        {
            Pre = Text("tokenizer.ggml.pre"),
            Scores = values.TryGetValue("tokenizer.ggml.scores", out object? scores) ? [.. ((object[])scores).Cast<float>()] : null,
            TokenTypes = values.TryGetValue("tokenizer.ggml.token_type", out object? types) ? [.. ((object[])types).Cast<int>()] : null,
            Merges = Strings("merges"),
            BeginId = Id("bos"),
            EndId = Id("eos"),
            EndOfTurnId = Id("eot"),
            EndOfMessageId = Id("eom"),
            UnknownId = Id("unknown"),
            AddBegin = Flag("add_bos_token"),
            AddEnd = Flag("add_eos_token"),
            AddSpacePrefix = Flag("add_space_prefix"),
            ChatTemplate = Text("tokenizer.chat_template"),
        };

        string? Text(string key) => values.TryGetValue(key, out object? value) ? (string)value : null;
        string[]? Strings(string key) => values.TryGetValue("tokenizer.ggml." + key, out object? value) ? [.. ((object[])value).Cast<string>()] : null;
        int? Id(string key) => values.TryGetValue($"tokenizer.ggml.{key}_token_id", out object? value) ? (int)(uint)value : null;
        bool? Flag(string key) => values.TryGetValue("tokenizer.ggml." + key, out object? value) ? (bool)value : null;
    }

    private static Dictionary<string, object> Read(string path)
    {
        using BinaryReader reader = new(File.OpenRead(path));
        if (reader.ReadUInt32() != 0x46554747) throw new InvalidDataException(path);
        reader.ReadUInt32();
        reader.ReadUInt64();
        ulong count = reader.ReadUInt64();
        Dictionary<string, object> values = [];
        for (ulong i = 0; i < count; i++)
        {
            string key = Text(reader);
            values[key] = Value(reader, reader.ReadUInt32());
        }
        return values;
    }

    private static string Text(BinaryReader reader) => Encoding.UTF8.GetString(reader.ReadBytes((int)reader.ReadUInt64()));

    private static object Value(BinaryReader reader, uint type)
    {
        switch (type)
        {
            case 0: return reader.ReadByte();
            case 1: return reader.ReadSByte();
            case 2: return reader.ReadUInt16();
            case 3: return reader.ReadInt16();
            case 4: return reader.ReadUInt32();
            case 5: return reader.ReadInt32();
            case 6: return reader.ReadSingle();
            case 7: return reader.ReadByte() != 0;
            case 8: return Text(reader);
            case 9:
                uint element = reader.ReadUInt32();
                object[] items = new object[reader.ReadUInt64()];
                for (int i = 0; i < items.Length; i++) items[i] = Value(reader, element);
                return items;
            case 10: return reader.ReadUInt64();
            case 11: return reader.ReadInt64();
            case 12: return reader.ReadDouble();
            default: throw new InvalidDataException($"type {type}");
        }
    }
}
