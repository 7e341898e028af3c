using Lowbit.Core;
using Lowbit.Evaluation;
using Xunit;

namespace Lowbit.Inference.Tests;

public sealed class PeerBenchTests
{
    [Fact]
    public void SpeedsAreTakenFromTheReport()
    {
        (double prefill, double decode) = PeerBench.Parse("""
            [ { "model_type": "llama", "n_prompt": 128, "n_gen": 0, "avg_ts": 61.25, "samples_ts": [61.25] },
              { "model_type": "llama", "n_prompt": 0, "n_gen": 32, "avg_ts": 16.5, "samples_ts": [16.5] } ]
            """);
        Assert.Equal(61.25, prefill);
        Assert.Equal(16.5, decode);
    }

    [Fact]
    public void AMissingProgramIsOneSentence()
    {
        LowbitException e = Assert.Throws<LowbitException>(() => new PeerBench("/nowhere/llama-bench", "x.gguf", 1, 1, 1).Run());
        Assert.Contains("--peer /nowhere/llama-bench", e.Message);
    }
}
