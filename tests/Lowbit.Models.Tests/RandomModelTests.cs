using System;
using System.IO;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models.Conversion;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Models.Tests;

public sealed class RandomModelTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Types => [.. RandomModel.Types, "pb-0.1", "pb-0.35", "uniform-2", "uniform-3", "uniform-4", "uniform-8", .. RandomModel.FolderTypes];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Types))]
    public void EveryTypeComputesSaneLogits(string type)
    {
        string path = Write("model", type);
        using LanguageModel model = LanguageModel.Open(path);
        using WorkerPool pool = new(1);
        using Session session = new(model, pool, 16, ActivationMode.Float);
        float[] logits = new float[model.Config.VocabularySize];
        session.Forward([1, 300, 77, 5], logits);
        double deviation = Math.Sqrt(logits.Average(logit => (double)logit * logit));
        Assert.InRange(deviation, 0.4, 2.5); // of a product of a normed row with weights of deviation 1/√columns
        Assert.True(Math.Abs(logits.Average()) < 0.5);
    }

    [Theory]
    [InlineData("Q4_K_M")]
    [InlineData("pb-0.1")]
    public void TheSeedDecidesTheBytes(string type)
    {
        string Weights(string name) => type == "pb-0.1" ? Path.Combine(name, "model.safetensors") : name;
        byte[] first = File.ReadAllBytes(Weights(Write("a", type))), same = File.ReadAllBytes(Weights(Write("b", type))), other = File.ReadAllBytes(Weights(Write("c", type, seed: 2)));
        Assert.Equal(first, same);
        Assert.Equal(first.Length, other.Length);
        Assert.NotEqual(first, other);
    }

    [Theory]
    [InlineData("tiny", "Q9_0")]
    [InlineData("tiny", "pb-2")]
    [InlineData("tiny", "uniform-9")]
    [InlineData("huge", "Q4_0")]
    public void UnknownShapesAndTypesAreRefused(string shape, string type)
    {
        Assert.Throws<LowbitException>(() => RandomModel.Write(_folder.File("x"), shape, type, 0, CancellationToken.None));
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    private string Write(string name, string type, ulong seed = 1)
    {
        string path = _folder.File(name + (type.Contains('-', StringComparison.Ordinal) ? "" : ".gguf"));
        RandomModel.Write(path, "tiny", type, seed, CancellationToken.None);
        return path;
    }
}
