using System.Text.Json;
using Lowbit.Core;
using Lowbit.Evaluation;
using Xunit;

namespace Lowbit.Inference.Tests;

public sealed class PeerBenchTests
{
    [Fact]
    public void TheSpeedIsTakenFromTheReport() =>
        Assert.Equal(16.5, PeerBench.Parse("""[ { "model_type": "llama", "n_prompt": 0, "n_gen": 32, "n_depth": 128, "avg_ts": 16.5, "samples_ts": [16.5] } ]"""));

    [Theory]
    [InlineData("[]")]
    [InlineData("""{ "avg_ts": 16.5 }""")]
    [InlineData("""[ { "n_prompt": 128 } ]""")]
    [InlineData("""[ { "avg_ts": 61.25 }, { "avg_ts": 16.5 } ]""")]
    public void AnotherReportIsRefused(string report) => Assert.Throws<JsonException>(() => PeerBench.Parse(report));

    [Fact]
    public void AMissingProgramIsOneSentence()
    {
        LowbitException e = Assert.Throws<LowbitException>(() => new PeerBench("/nowhere/llama-bench", "x.gguf", 1, 1, 1).Run());
        Assert.Contains("--peer /nowhere/llama-bench", e.Message);
    }
}
