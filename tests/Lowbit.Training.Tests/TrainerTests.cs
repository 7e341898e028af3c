using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.TestKit;
using Lowbit.Training.Data;
using Lowbit.Training.Model;
using Lowbit.Training.Run;
using Xunit;

namespace Lowbit.Training.Tests;

public sealed class TrainerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ASmallModelLearnsARule()
    {
        using TrainableModel model = Tiny.Model();
        double[] losses = Tiny.Train(model, Tiny.Options with { Steps = 150 }, 150);
        Assert.InRange(losses[0], 2.6, 3.1); // ln 17 = 2.83
        Assert.True(losses[^1] < 0.3, $"loss {losses[^1]} after 150 steps");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.1)]
    public void ThreadsDoNotMatter(double dropout)
    {
        using TrainableModel one = Tiny.Model(), three = Tiny.Model();
        TrainingOptions options = Tiny.Options with { Dropout = dropout, BFloat16Activations = dropout > 0 };
        Assert.Equal(Tiny.Train(one, options, 4, threads: 1), Tiny.Train(three, options, 4, threads: 3));
        Assert.Equal(Tiny.Values(one), Tiny.Values(three));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.1)]
    public void ACheckpointGoesOnToTheLastBit(double dropout)
    {
        TrainingOptions options = Tiny.Options with { Dropout = dropout };
        string path = _folder.File("checkpoint.safetensors");
        using TrainableModel whole = Tiny.Model(), first = Tiny.Model(), second = Tiny.Model();
        using WorkerPool pool = new(2);
        double[] losses = Tiny.Train(whole, options, 8);
        using (Trainer trainer = new(first, Tiny.Data(), options, pool))
        {
            for (int i = 0; i < 3; i++) trainer.Step();
            trainer.Save(path, "same");
        }
        using Trainer resumed = new(second, Tiny.Data(), options, pool);
        resumed.Resume(path, "same");
        Assert.Equal(3, resumed.StepsDone);
        Assert.Equal(losses[3..], Enumerable.Range(0, 5).Select(_ => resumed.Step().Loss));
        Assert.Equal(Tiny.Values(whole), Tiny.Values(second));
    }

    [Fact]
    public void ACheckpointOfAnotherTrainingIsRefused()
    {
        string path = _folder.File("checkpoint.safetensors");
        using TrainableModel model = Tiny.Model();
        using WorkerPool pool = new(1);
        using Trainer trainer = new(model, Tiny.Data(), Tiny.Options, pool);
        trainer.Step();
        trainer.Save(path, "one");
        Assert.Contains("another model, text or", Assert.Throws<LowbitException>(() => trainer.Resume(path, "two")).Message);
    }

    [Fact]
    public void DamagedCheckpointsAreRefusedAndChangeNothing()
    {
        string path = _folder.File("checkpoint.safetensors");
        using TrainableModel model = Tiny.Model();
        using WorkerPool pool = new(1);
        using Trainer trainer = new(model, Tiny.Data(), Tiny.Options, pool);
        trainer.Step();
        trainer.Save(path, "one");
        float[] before = Tiny.Values(model);
        byte[] bytes = File.ReadAllBytes(path);
        string text = System.Text.Encoding.Latin1.GetString(bytes);
        foreach (byte[] damaged in new[]
        {
            bytes[..^4],
            System.Text.Encoding.Latin1.GetBytes(text.Replace("model.norm.weight.square", "model.norm.weight.squirt", StringComparison.Ordinal)),
            System.Text.Encoding.Latin1.GetBytes(text.Replace("\"steps\":\"1\"", "\"steps\":\"9\"", StringComparison.Ordinal)),
            System.Text.Encoding.Latin1.GetBytes(text.Replace("\"steps\":\"1\"", "\"steps\":\"x\"", StringComparison.Ordinal)),
        })
        {
            Assert.False(damaged.AsSpan().SequenceEqual(bytes));
            File.WriteAllBytes(path, damaged);
            Assert.Throws<LowbitFormatException>(() => trainer.Resume(path, "one"));
            Assert.Equal(before, Tiny.Values(model));
        }
    }

    [Fact]
    public void AccumulatedBatchesAreAveraged()
    {
        using TrainableModel model = Tiny.Model(), halves = Tiny.Model();
        using WorkerPool pool = new(1);
        int[] ids = Tiny.Ids(48);
        using TrainingPass whole = new(model, pool, 2, 24), half = new(halves, pool, 1, 24);
        double loss = whole.Run(ids);
        Assert.Equal(loss, (half.Run(ids.AsSpan(0, 24), 0.5) + half.Run(ids.AsSpan(24, 24), 0.5)) / 2, 1e-6);
        foreach ((Parameter a, Parameter b) in model.Parameters.Zip(halves.Parameters))
            for (int i = 0; i < a.Count; i++) Assert.Equal(a.Gradient!.Span<float>(i, 1)[0], b.Gradient!.Span<float>(i, 1)[0], 1e-5f);
    }

    [Fact]
    public void DivergenceIsAnErrorThatNamesTheRemedy()
    {
        using TrainableModel model = Tiny.Model();
        using WorkerPool pool = new(1);
        using Trainer trainer = new(model, Tiny.Data(), Tiny.Options, pool);
        model.FinalNorm!.Weight.Value.Span<float>(0, 1)[0] = float.NaN;
        Assert.Contains("--learning-rate", Assert.Throws<LowbitException>(() => trainer.Step()).Message);
        Assert.Equal(0, trainer.StepsDone);
    }

    [Fact]
    public void TokensOutsideTheVocabularyAreRefused()
    {
        using TrainableModel model = Tiny.Model();
        using WorkerPool pool = new(1);
        using TrainingPass pass = new(model, pool, 1, 4);
        Assert.Contains("token 17", Assert.Throws<LowbitException>(() => pass.Evaluate([1, 2, 17, 3])).Message);
        Assert.Contains("token -1", Assert.Throws<LowbitException>(() => pass.Evaluate([1, 2, -1, 3])).Message);
    }

    [Fact]
    public void WindowsAreInsideTheTextAndDependOnSeedAndBatchAlone()
    {
        int[] text = [.. Enumerable.Range(0, 100)];
        TokenWindows data = new(text, 10, 1);
        int[] windows = new int[20000], again = new int[20000];
        data.Fill(3, windows);
        new TokenWindows(text, 10, 1).Fill(3, again);
        Assert.Equal(windows, again);
        data.Fill(4, again);
        Assert.NotEqual(windows, again);
        new TokenWindows(text, 10, 2).Fill(3, again);
        Assert.NotEqual(windows, again);
        for (int i = 0; i < windows.Length; i++) Assert.Equal(windows[i / 10 * 10] + i % 10, windows[i]);
        Assert.Contains(windows.Where((_, i) => i % 10 == 0), start => start == 0);
        Assert.Contains(windows.Where((_, i) => i % 10 == 0), start => start == 90);
        Assert.Throws<LowbitException>(() => new TokenWindows(text, 101, 1));
    }

    [Fact]
    public void AnInterruptedTrainingGoesOnInItsFolder()
    {
        string output = _folder.File("model");
        using WorkerPool pool = new(1);
        using CancellationTokenSource source = new();
        using TrainableModel whole = Tiny.Model();
        double[] losses = Tiny.Train(whole, Tiny.Options, 8);
        using (TrainableModel model = Tiny.Model())
        {
            using Trainer trainer = new(model, Tiny.Data(), Tiny.Options, pool);
            TrainingFolder folder = new(output, "same", resume: false, force: false);
            Assert.Throws<OperationCanceledException>(() => folder.Train(trainer, 100, step => { if (step.Step == 5) source.Cancel(); }, source.Token));
        }
        Assert.Contains("--resume", Assert.Throws<LowbitException>(() => new TrainingFolder(output, "same", resume: false, force: false)).Message);
        using TrainableModel resumed = Tiny.Model();
        using Trainer last = new(resumed, Tiny.Data(), Tiny.Options, pool);
        TrainingFolder again = new(output, "same", resume: true, force: false);
        Assert.Equal(losses, again.Train(last, 100, null, CancellationToken.None).Select(step => step.Loss));
        Assert.Equal(Tiny.Values(whole), Tiny.Values(resumed));
        Directory.CreateDirectory(output);
        again.Finish(output);
        Assert.Equal(8, File.ReadAllLines(Path.Combine(output, "training.jsonl")).Length);
        System.Xml.Linq.XDocument picture = System.Xml.Linq.XDocument.Load(Path.Combine(output, "training.svg"));
        Assert.Equal(2, picture.Descendants().Count(element => element.Name.LocalName == "polyline"));
        Assert.False(Directory.Exists(output + ".training"));
        Assert.Throws<LowbitException>(() => new TrainingFolder(output, "same", resume: true, force: false));
    }

    [Fact]
    public void TheLogHasEveryStepOfTheCheckpointThatIsKept()
    {
        string output = _folder.File("model");
        using WorkerPool pool = new(1);
        using TrainableModel model = Tiny.Model();
        using Trainer trainer = new(model, Tiny.Data(), Tiny.Options, pool);
        List<int> lines = [];
        new TrainingFolder(output, "same", resume: false, force: false).Train(trainer, 3, _ =>
        {
            // What a kill at this moment would leave.
            using StreamReader log = new(new FileStream(Path.Combine(output + ".training", "training.jsonl"), FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
            lines.Add(log.ReadToEnd().Count(c => c == '\n'));
        }, CancellationToken.None);
        Assert.Equal(8, lines.Count);
        Assert.True(lines[3] >= 3, $"{lines[3]} lines behind the checkpoint of step 3");
        Assert.True(lines[6] >= 6, $"{lines[6]} lines behind the checkpoint of step 6");
    }

    [Fact]
    public void ADamagedLogIsRefused()
    {
        string path = _folder.Write("training.jsonl", "{\"step\":1,\"loss\":2,\"learning_rate\":1,\"gradient_norm\":1,\"seconds\":1}\nrubbish\n");
        Assert.Contains("line 2", Assert.Throws<LowbitFormatException>(() => new TrainingLog(path, 2)).Message);
        using TrainingLog log = new(path, 1); // what lies behind the step is nobody's business
        Assert.Equal(2, Assert.Single(log.Steps).Loss);
        log.Dispose();
        Assert.Contains("1 of the 2 steps", Assert.Throws<LowbitException>(() => new TrainingLog(path, 2)).Message);
        Assert.Contains("0 of the 2 steps", Assert.Throws<LowbitException>(() => new TrainingLog(_folder.File("none.jsonl"), 2)).Message);
    }
}
