using System;
using System.IO;
using System.Linq;
using System.Text;
using Lowbit.Core;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

public sealed class CheckpointTests : IDisposable
{
    private const string Header = """{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}""";
    private static readonly byte[] s_gguf = new GgufBuilder().Add("general.architecture", "llama").Tensor("a", 24, [2], [1, 2]).Build();

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("", "model.safetensors")]
    [InlineData("model.safetensors", "model.safetensors")]
    [InlineData("", "gptq_model-4bit-128g.safetensors")]
    [InlineData("gptq_model-4bit-128g.safetensors", "gptq_model-4bit-128g.safetensors")]
    public void OpensHuggingFaceFoldersAndFiles(string named, string file)
    {
        byte[] bytes = SafetensorsBytes.Of(Header, 1, 2);
        _folder.Write(file, bytes);
        _folder.Write("config.json", """{"model_type":"llama"}""");
        string path = Path.Combine(_folder.Path, named);
        using Checkpoint checkpoint = Checkpoint.Open(path);
        Assert.Equal(CheckpointKind.HuggingFace, checkpoint.Kind);
        Assert.Equal(path, checkpoint.Path);
        Assert.Equal("llama", checkpoint.Config!.Value.GetProperty("model_type").GetString());
        Assert.Equal([1, 2], checkpoint.Find("a").Span.ToArray());
        Assert.Equal(bytes.Length, checkpoint.FileBytes);
        Assert.Null(checkpoint.Gguf);
        string message = Assert.Throws<LowbitFormatException>(() => checkpoint.Find("b")).Message;
        Assert.StartsWith(path, message);
        Assert.Contains("'b' is missing", message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("m.gguf")]
    public void OpensGguf(string named)
    {
        _folder.Write("m.gguf", s_gguf);
        using Checkpoint checkpoint = Checkpoint.Open(Path.Combine(_folder.Path, named));
        Assert.Equal(CheckpointKind.Gguf, checkpoint.Kind);
        Assert.Null(checkpoint.Config);
        Assert.Equal("llama", checkpoint.Gguf!.GetString("general.architecture"));
        Assert.Equal([1, 2], checkpoint.Find("a").Span.ToArray());
        Assert.Equal(s_gguf.Length, checkpoint.FileBytes);
    }

    [Theory]
    [InlineData(8)]
    [InlineData(640)] // whose first bytes are those of a pickle
    public void OpensLlama2C(int width)
    {
        byte[] bytes = Llama2CBytes.Of(width, 6, 1, 2, 1, 11, 3);
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Write("m.bin", bytes));
        Assert.Equal(CheckpointKind.Llama2C, checkpoint.Kind);
        Assert.Equal(width, checkpoint.Llama2C!.Header.ModelWidth);
        Assert.Equal<long>([11, width], checkpoint.Find("model.embed_tokens.weight").Shape);
        Assert.Equal(bytes.Length, checkpoint.FileBytes);
    }

    [Theory]
    [InlineData("{\"weight_map\":{\"a\":\"s1\",\"b\":\"s2\"}}", null)]
    [InlineData("{\"weight_map\":{\"a\":\"s1\",\"b\":\"s2\",\"c\":\"s2\"}}", "'c' should be in 's2'")]
    [InlineData("{\"weight_map\":{\"a\":\"s2\",\"b\":\"s2\"}}", "'a' should be in 's2'")]
    [InlineData("{\"weight_map\":{\"a\":\"s3\"}}", "no such file")]
    [InlineData("{\"weight_map\":{\"a\":\"../s1\"}}", "same folder")]
    [InlineData("{\"weight_map\":{\"a\":\"sub\\\\s1\"}}", "same folder")]
    [InlineData("{\"weight_map\":{\"a\":\"..\"}}", "same folder")]
    [InlineData("{\"weight_map\":{\"a\":\"\"}}", "same folder")]
    [InlineData("{\"weight_map\":{\"a\":1}}", "same folder")]
    [InlineData("{\"weight_map\":{\"a\":\"s1\",\"a\":\"s1\"}}", "mapped twice")]
    [InlineData("{\"weight_map\":[]}", "no 'weight_map'")]
    [InlineData("[]", "no 'weight_map'")]
    [InlineData("{\"weight_map\":{\"\\ud800\":\"s1\"}}", "not valid JSON")]
    [InlineData("{\"weight_map\"", "not valid JSON")]
    public void ShardsMustBeWhatTheIndexSays(string index, string? reason)
    {
        _folder.Write("config.json", "{}");
        _folder.Write("s1", SafetensorsBytes.Of(Header, 1, 2));
        _folder.Write("s2", SafetensorsBytes.Of(Header.Replace("\"a\"", "\"b\"", StringComparison.Ordinal), 3, 4));
        string path = _folder.Write("model.safetensors.index.json", index);
        if (reason is null)
        {
            using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
            Assert.Equal(["a", "b"], checkpoint.Tensors.Keys);
            Assert.Equal([3, 4], checkpoint.Find("b").Span.ToArray());
            using Checkpoint named = Checkpoint.Open(path);
            Assert.Equal(2, named.Tensors.Count);
        }
        else
        {
            Assert.Contains(reason, Assert.ThrowsAny<LowbitException>(() => Checkpoint.Open(_folder.Path)).Message);
        }
    }

    [Theory]
    [InlineData("", "the folder has no model")]
    [InlineData("config.json={}", "the folder has no model")]
    [InlineData("model.safetensors=", "config.json: the file is missing")]
    [InlineData("model.safetensors.index.json={}", "config.json: the file is missing")]
    [InlineData("model.safetensors= config.json=[]", "expected an object")]
    [InlineData("model.safetensors= config.json={", "not valid JSON")]
    [InlineData("model.safetensors= config.json={}", "at least 8")]
    [InlineData("a.safetensors= b.safetensors= config.json={}", "2 .safetensors files")]
    [InlineData("model-00001-of-00002.safetensors= config.json={}", "get the index too")]
    [InlineData("a.gguf= b.gguf=", "2 .gguf files")]
    [InlineData("pytorch_model.bin=PK\u0003\u0004 config.json={}", "convert the model to safetensors")]
    [InlineData("tokenizer.bin=1234", "name that file")]
    public void FoldersWithoutAModelSaySo(string files, string reason)
    {
        foreach (string file in files.Split(' ', StringSplitOptions.RemoveEmptyEntries)) _folder.Write(file.Split('=')[0], file.Split('=')[1]);
        string message = Assert.ThrowsAny<LowbitException>(() => Checkpoint.Open(_folder.Path)).Message;
        Assert.Contains(reason, message);
        Assert.StartsWith(_folder.Path, message);
    }

    [Theory]
    [InlineData("none.gguf", null, "no such file or folder")]
    [InlineData("m.onnx", "", "the ending is not of a model")]
    [InlineData("m.bin", "PK\u0003\u0004", "convert the model to safetensors")]
    [InlineData("m.bin", "\u0080\u0002\u008a\u000a", "convert the model to safetensors")]
    [InlineData("m.bin", "", "truncated")]
    [InlineData("model-00001-of-00002.safetensors", "", "one of several shards")]
    [InlineData("m.safetensors", "", "config.json: the file is missing")]
    public void FilesThatAreNoModelSaySo(string name, string? content, string reason)
    {
        if (content is not null) _folder.Write(name, Encoding.Latin1.GetBytes(content));
        Assert.Contains(reason, Assert.ThrowsAny<LowbitException>(() => Checkpoint.Open(_folder.File(name))).Message);
    }

    [Fact]
    public void PartsOfASplitGgufAreNamed()
    {
        string path = _folder.Write("m-00001-of-00003.gguf", new GgufBuilder().Add("split.count", (ushort)3).Build());
        Assert.Contains("one of 3 parts", Assert.Throws<LowbitException>(() => Checkpoint.Open(path)).Message);
    }

    [SharedTheory]
    [InlineData("SmolLM2-135M-Instruct", CheckpointKind.Gguf, 272)]
    [InlineData("TinyStories-656K", CheckpointKind.HuggingFace, 20)]
    [InlineData("stories260K/stories260K.bin", CheckpointKind.Llama2C, 47)]
    public void OpensTheRealModels(string name, CheckpointKind kind, int tensors)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Shared.Path("models", name));
        Assert.Equal(kind, checkpoint.Kind);
        Assert.Equal(tensors, checkpoint.Tensors.Count);
        Assert.True(checkpoint.Tensors.Values.Sum(tensor => tensor.Bytes) < checkpoint.FileBytes);
    }

    [SharedFact]
    public void OpensAllArchitectures()
    {
        string[] folders = Directory.GetDirectories(Shared.Path("golden", "architectures"));
        Assert.Equal(26, folders.Length);
        foreach (string folder in folders)
        {
            using Checkpoint checkpoint = Checkpoint.Open(folder);
            Assert.NotEmpty(checkpoint.Tensors);
            Assert.True(checkpoint.Config!.Value.TryGetProperty("model_type", out _));
        }
    }
}
