using System;
using System.IO;
using System.Linq;
using Lowbit.Core;
using Lowbit.Models;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Quantization.Tests.Pipeline;

/// <summary>Hidden states in a file are those in memory.</summary>
public sealed unsafe class HiddenStatesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Windows_come_back_as_they_were_kept()
    {
        const int Windows = 5, Floats = 7;
        string path = _folder.File("states");
        using (HiddenStates states = new(Windows, Floats * sizeof(float), path))
        {
            foreach (int window in new[] { 3, 0, 4, 1, 2 })
            {
                for (int i = 0; i < Floats; i++) states[window][i] = 10 * window + i;
                states.Keep(window);
            }
            states[1][2] = -1; // changed and not kept
            for (int window = 0; window < Windows; window++)
                Assert.Equal(Enumerable.Range(10 * window, Floats).Select(i => (float)i), new Span<float>(states[window], Floats).ToArray());
            Assert.Equal(Windows * Floats * sizeof(float), new FileInfo(path).Length);
        }
        Assert.False(File.Exists(path));
    }

    [Fact]
    public void A_place_that_cannot_be_written_is_named()
    {
        LowbitException e = Assert.Throws<LowbitException>(() => new HiddenStates(1, 4, Path.Combine(_folder.File("none"), "states")));
        Assert.Contains("none", e.Message);
        Assert.Contains("--memory-limit", e.Message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Hessians_do_not_depend_on_where_they_are(bool withFloatModel)
    {
        TinyLlama.Write(_folder.File("source"));
        using LanguageModel model = LanguageModel.Open(_folder.File("source"));
        using WorkerPool pool = new(2);
        CalibrationSet set = CalibrationSet.Draw([[.. Enumerable.Range(0, 400).Select(i => i * i % TinyLlama.Vocabulary)]], 40, 6, CalibrationSampling.Random, 1);
        Directory.CreateDirectory(_folder.File("work"));
        using BlockCalibration inMemory = new(model, set, pool, withFloatModel, folder: null), inFile = new(model, set, pool, withFloatModel, _folder.File("work"));
        foreach (Block block in model.Blocks)
        {
            foreach (BlockCalibration calibration in new[] { inMemory, inFile })
            {
                calibration.Begin(block);
                calibration.Collect(block, _ => { });
                calibration.AdvanceFloat(block);
                calibration.Advance(block, _ => { });
            }
            foreach ((LinearInput input, Linear linear) in block.Linears())
            {
                Hessian expected = inMemory[input], actual = inFile[input];
                for (int i = 0; i < linear.Weight.Columns; i++) Assert.Equal(expected.Diagonal(i), actual.Diagonal(i));
                Assert.True(expected.Diagonal(0) > 0);
            }
        }
        Assert.True(inFile.IsFinite());
        Assert.Equal(withFloatModel ? 2 : 1, Directory.GetFiles(_folder.File("work")).Length);
    }
}
