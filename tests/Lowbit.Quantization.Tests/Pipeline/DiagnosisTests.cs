using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Quantization.Pipeline;
using Xunit;

namespace Lowbit.Quantization.Tests.Pipeline;

public sealed class DiagnosisTests
{
    [Fact]
    public void ALayerFarAboveItsLikeIsNamed()
    {
        IReadOnlyList<string> sentences = Diagnosis.Of(Layers((block, kind) => block == 2 && kind == "down_proj" ? 0.4 : 0.04));
        Assert.Contains(sentences, sentence => sentence.Contains("jumps at model.layers.2.mlp.down_proj, to 10 times", StringComparison.Ordinal));
    }

    [Fact]
    public void ALinearThatLosesMoreEverywhereIsNoJump()
    {
        IReadOnlyList<string> sentences = Diagnosis.Of(Layers((_, kind) => kind == "down_proj" ? 0.2 : 0.02));
        Assert.Contains(sentences, sentence => sentence.StartsWith("No layer stands out", StringComparison.Ordinal));
    }

    [Fact]
    public void ASettingTooCoarseEverywhereIsSaidSo() =>
        Assert.Contains(Diagnosis.Of(Layers((_, _) => 0.5)), sentence => sentence.Contains("too coarse", StringComparison.Ordinal));

    [Fact]
    public void WithoutCalibrationNothingIsKnown() =>
        Assert.Contains("--calibration", Assert.Single(Diagnosis.Of(Layers((_, _) => double.NaN))), StringComparison.Ordinal);

    private static LayerReport[] Layers(Func<int, string, double> error) =>
        [.. Enumerable.Range(0, 5).SelectMany(block => new[] { "up_proj", "down_proj" }.Select(kind => new LayerReport($"model.layers.{block}.mlp.{kind}", error(block, kind), 4, 100, 50, "rtn", 0)))];
}
