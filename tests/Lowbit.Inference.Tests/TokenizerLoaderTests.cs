using System;
using System.IO;
using Lowbit.Core;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Inference.Tests;

public sealed class TokenizerLoaderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AFolderMadeFromALlama2CModelKeepsItsTokenizer()
    {
        _folder.Write("config.json", """{ "vocab_size": 5 }""");
        Assert.Null(TokenizerLoader.Find(_folder.Path));
        Assert.Contains("tok512.bin", Assert.Throws<LowbitException>(() => TokenizerLoader.Load(_folder.Path)).Message);
        _folder.Write("tokenizer.bin", Tokens("<unk>", "<s>", "</s>", " ", "a"));
        Assert.Equal([1, 3, 4], TokenizerLoader.Load(_folder.Path).Encode("a"));
        _folder.Write("tok5.bin", Tokens("<unk>", "<s>", "</s>", "a", " ")); // by its name the one of this vocabulary
        _folder.Write("tok4.bin", Tokens("<unk>", "<s>", "</s>", "a"));
        Assert.Equal([1, 4, 3], TokenizerLoader.Load(_folder.Path).Encode("a"));
    }

    [Theory]
    [InlineData("[]", "expected an object")]
    [InlineData("{", "not valid JSON")]
    public void ADamagedConfigurationIsNamed(string config, string expected)
    {
        _folder.Write("config.json", config);
        Assert.Contains(expected, Assert.Throws<LowbitFormatException>(() => TokenizerLoader.Find(_folder.Path)).Message);
    }

    [Fact]
    public void AFolderWithoutConfigurationOrWithoutVocabularyHasNone()
    {
        _folder.Write("tok5.bin", Tokens("<unk>", "<s>", "</s>", " ", "a"));
        Assert.Null(TokenizerLoader.Find(_folder.Path));
        _folder.Write("config.json", """{ "vocab_size": "5" }""");
        Assert.Null(TokenizerLoader.Find(_folder.Path));
    }

    private static byte[] Tokens(params string[] tokens)
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        writer.Write(8);
        foreach (string token in tokens)
        {
            writer.Write(0f);
            writer.Write(token.Length);
            writer.Write(System.Text.Encoding.UTF8.GetBytes(token));
        }
        return stream.ToArray();
    }
}
