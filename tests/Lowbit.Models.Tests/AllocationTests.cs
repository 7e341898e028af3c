using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models.Conversion;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Models.Tests;

/// <summary>What is counted are the bytes of the whole process, so no other test may run beside these.</summary>
[CollectionDefinition(nameof(AllocationTests), DisableParallelization = true)]
[Collection(nameof(AllocationTests))]
public sealed class AllocationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Also with several threads, whichever of them allocates.</summary>
    [Theory]
    [InlineData("pb-0.1")]
    [InlineData("uniform-4")]
    [InlineData("binary")]
    [InlineData("two-planes")]
    [InlineData("nvfp4")]
    [InlineData("Q4_0")]
    [InlineData("Q4_K_M")]
    [InlineData("F16")]
    public void DecodingAllocatesNothing(string type)
    {
        string path = _folder.File("model" + (type.Contains('-', StringComparison.Ordinal) ? "" : ".gguf"));
        RandomModel.Write(path, "tiny", type, seed: 1, CancellationToken.None);
        using LanguageModel model = LanguageModel.Open(path);
        using WorkerPool pool = new(2);
        using Session session = new(model, pool, 200, ActivationMode.EightBit);
        float[] logits = new float[model.Config.VocabularySize];
        int[] token = [7];
        for (int i = 0; i < 40; i++) session.Forward(token, logits);
        // The runtime itself allocates now and then, as when it compiles a hot method anew: the best of several runs counts.
        long fewest = long.MaxValue;
        for (int run = 0; run < 30 && fewest > 0; run++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            for (int i = 0; i < 5; i++) session.Forward(token, logits);
            fewest = Math.Min(fewest, GC.GetTotalAllocatedBytes(precise: true) - before);
        }
        Assert.Equal(0, fewest);
    }
}
