using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;
using Xunit;

namespace Lowbit.Training.Tests;

public sealed unsafe class WeightFormTests
{
    private const int Rows = 7, Columns = 37;

    public static TheoryData<string, bool, double, Func<double, double, double, double>> Binarizers => new()
    {
        // name, centred, scale (0: the mean distance), gradient factor of a weight w of a row with the centre m and the mean distance b
        { "bnn", false, 1, (w, _, _) => Math.Abs(w) <= 1 ? 1 : 0 },
        { "xnor", true, 0, (_, _, _) => 1 },
        { "bi-real", false, 0, (w, _, _) => Math.Abs(w) <= 1 ? 1 : 0 },
        { "ir-net", true, 0, (w, m, _) => 1 - Math.Pow(Math.Tanh(0.1 * (w - m)), 2) },
        { "fda", false, 1, (w, _, _) => Math.Abs(w) > 1 ? 0 : 0.4 / Math.PI * Enumerable.Range(0, 11).Sum(i => Math.Cos((2 * i + 1) * 0.1 * w)) },
        { "recu", true, -1, (w, m, b) => Math.Abs(w - m) <= -b * Math.Log(0.02) ? 1 : 0 },
    };

    private static IBinarizer Binarizer(string name) => name switch
    {
        "bnn" => new Bnn(),
        "xnor" => new Xnor(),
        "bi-real" => new BiReal(),
        "ir-net" => new IrNet(),
        "fda" => new FrequencyDomain(),
        _ => new ReCu(),
    };

    [Theory]
    [MemberData(nameof(Binarizers))]
    public void BinarizersFollowTheirFormulas(string name, bool centred, double scale, Func<double, double, double, double> factor)
    {
        using WorkerPool pool = new(2);
        using Parameter weight = RandomWeight(1, 1.3f);
        BinaryTraining form = new(Binarizer(name), ScalePrecision.Float32);
        float[] w = Values(weight), effective = Forward(pool, form, weight), gradient = Backward(pool, form, weight, [.. Enumerable.Repeat(1f, w.Length)]);
        for (int r = 0; r < Rows; r++)
        {
            float[] row = w[(r * Columns)..((r + 1) * Columns)];
            double m = centred ? row.Average() : 0, b = row.Average(x => Math.Abs(x - m)), limit = -b * Math.Log(0.02);
            double alpha = scale > 0 ? scale : scale == 0 ? b : row.Average(x => Math.Min(Math.Abs(x - m), limit));
            for (int c = 0; c < Columns; c++)
            {
                Assert.Equal(row[c] < m ? -alpha : alpha, effective[r * Columns + c], 1e-5);
                Assert.Equal(factor(row[c], m, b), gradient[r * Columns + c], 1e-5);
            }
        }
    }

    [Theory]
    [InlineData(false, 3, -1)]
    [InlineData(false, 2, 10)]
    [InlineData(true, 4, 16)]
    public void TrainedStepsFollowTheirFormulas(bool fixedCodes, int bits, int groupSize)
    {
        using WorkerPool pool = new(2);
        using Parameter weight = RandomWeight(2, 0.5f);
        UniformTraining form = new(weight, new UniformTrainingOptions { Bits = bits, GroupSize = groupSize, FixedCodes = fixedCodes, TrainZeros = !fixedCodes });
        using Parameter steps = form.Parameters[0], zeros = form.Parameters[1];
        float[] original = Forward(pool, form, weight), start = Values(steps);
        for (int i = 0; i < weight.Count; i++) weight.Value.Floats[i] *= 1.2f; // so that some are cut off
        for (int i = 0; i < steps.Count; i++) steps.Value.Floats[i] *= 1.03f;
        float[] w = Values(weight), s = Values(steps), effective = Forward(pool, form, weight), upstream = [.. w.Select((_, i) => MathF.Cos(i))];
        float[] gradient = Backward(pool, form, weight, upstream);
        int width = groupSize < 0 ? Columns : groupSize, groups = (Columns + width - 1) / width, max = (1 << bits) - 1;
        double[] ofSteps = new double[s.Length], ofZeros = new double[s.Length];
        int cut = 0;
        for (int i = 0; i < w.Length; i++)
        {
            int g = i / Columns * groups + i % Columns / width;
            if (fixedCodes)
            {
                Assert.Equal(original[i] / start[g] * s[g], effective[i], 1e-5);
                ofSteps[g] += upstream[i] * Math.Round(original[i] / start[g]);
                continue;
            }
            float[] group = [.. Enumerable.Range(0, w.Length).Where(j => j / Columns * groups + j % Columns / width == g).Select(j => w[j] / 1.2f)];
            double zero = Math.Clamp(Math.Round(-Math.Min(0, group.Min()) / start[g]), 0, max), place = MathF.Round(w[i] / s[g]) + zero, level = Math.Clamp(place, 0, max) - zero;
            bool inside = place >= 0 && place <= max;
            if (!inside) cut++;
            if (!inside) ofZeros[g] -= s[g] * upstream[i];
            Assert.Equal(s[g] * level, effective[i], 1e-5);
            Assert.Equal(inside ? upstream[i] : 0, gradient[i]);
            ofSteps[g] += upstream[i] * (inside ? level - w[i] / s[g] : level);
        }
        Assert.Equal(!fixedCodes, cut > 0);
        for (int g = 0; g < s.Length; g++) Assert.Equal(ofSteps[g], steps.Gradient!.Floats[g], 1e-4);
        Assert.Equal(fixedCodes, zeros.Gradient is null);
        for (int g = 0; g < s.Length && !fixedCodes; g++) Assert.Equal(ofZeros[g], zeros.Gradient!.Floats[g], 1e-4);
    }

    [Fact]
    public void CodesThatAreFixedStayAndStepsGoOn()
    {
        using WorkerPool pool = new(2);
        using Parameter weight = RandomWeight(2, 0.5f);
        UniformTraining form = new(weight, new UniformTrainingOptions { Bits = 3, GroupSize = 10, TrainZeros = true });
        using Parameter steps = form.Parameters[0], zeros = form.Parameters[1];
        for (int i = 0; i < zeros.Count; i++) zeros.Value.Floats[i] += 0.6f; // rounds to the next
        float[] moved = Forward(pool, form, weight);
        form.FixCodes(weight);
        Assert.Null(zeros.Gradient);
        Assert.Equal(moved, Forward(pool, form, weight));
        for (int i = 0; i < weight.Count; i++) weight.Value.Floats[i] = 0;
        for (int i = 0; i < steps.Count; i++) steps.Value.Floats[i] *= 2;
        Assert.Equal(moved.Select(value => 2 * value), Forward(pool, form, weight));
    }

    [Fact]
    public void TernaryWeightsFollowTheirFormula()
    {
        using WorkerPool pool = new(2);
        using Parameter weight = RandomWeight(3, 1);
        float[] w = Values(weight), effective = Forward(pool, new BitNet(ScalePrecision.Float32), weight);
        double gamma = w.Average(Math.Abs);
        for (int i = 0; i < w.Length; i++) Assert.Equal(gamma * Math.Clamp(Math.Round(w[i] / gamma), -1, 1), effective[i], 1e-5);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(8)]
    public void SymmetricGridsReachToTheLargestWeightOfARow(int bits)
    {
        using WorkerPool pool = new(2);
        using Parameter weight = RandomWeight(5, 1);
        for (int c = 0; c < Columns; c++) weight.Value.Floats[c] = 0; // a row without a scale
        LlmQat form = new(bits, ScalePrecision.Float32);
        float[] w = Values(weight), effective = Forward(pool, form, weight), upstream = [.. w.Select((_, i) => MathF.Cos(i))];
        for (int r = 0; r < Rows; r++)
        {
            double alpha = w[(r * Columns)..((r + 1) * Columns)].Max(Math.Abs) / ((1 << (bits - 1)) - 1);
            for (int i = r * Columns; i < (r + 1) * Columns; i++) Assert.Equal(alpha == 0 ? 0 : alpha * Math.Round(w[i] / alpha), effective[i], 1e-5);
        }
        Assert.Equal(upstream, Backward(pool, form, weight, upstream));
    }

    [Fact]
    public void SignsBetweenVectorsFollowTheirFormulas()
    {
        using WorkerPool pool = new(2);
        using Parameter weight = RandomWeight(7, 1), product = RandomWeight(8, 1);
        // |W| of rank one is taken apart to the last digit.
        for (int i = 0; i < product.Count; i++) product.Value.Floats[i] = MathF.CopySign((1 + i / Columns) * (1 + 0.1f * (i % Columns)) / 16, product.Value.Floats[i]);
        OneBit exact = new(product), form = new(weight);
        float[] apart = Forward(pool, exact, product);
        for (int i = 0; i < apart.Length; i++) Assert.Equal(product.Value.Floats[i], apart[i], 2e-3 * Math.Abs(apart[i]));

        Parameter rows = form.Parameters[0], columns = form.Parameters[1];
        float[] w = Values(weight), g = [.. Values(rows).Select(x => (float)(Half)x)], h = [.. Values(columns).Select(x => (float)(Half)x)];
        float[] effective = Forward(pool, form, weight), upstream = [.. w.Select((_, i) => MathF.Cos(i))], gradient = Backward(pool, form, weight, upstream);
        double[] ofRows = new double[Rows], ofColumns = new double[Columns];
        double error = 0, byRows = 0;
        for (int i = 0; i < w.Length; i++)
        {
            int r = i / Columns, c = i % Columns, sign = w[i] < 0 ? -1 : 1;
            Assert.Equal(g[r] * sign * h[c], effective[i], 1e-6);
            Assert.Equal(upstream[i] * g[r] * h[c], gradient[i], 1e-6);
            ofRows[r] += upstream[i] * sign * h[c];
            ofColumns[c] += upstream[i] * sign * g[r];
            error += Math.Pow(w[i] - effective[i], 2);
            byRows += Math.Pow(Math.Abs(w[i]) - w[(r * Columns)..((r + 1) * Columns)].Average(Math.Abs), 2);
        }
        Assert.True(error < byRows, $"{error}, with the best scale of a row {byRows}"); // two vectors are nearer than one
        for (int r = 0; r < Rows; r++) Assert.Equal(ofRows[r], rows.Gradient!.Floats[r], 1e-5);
        for (int c = 0; c < Columns; c++) Assert.Equal(ofColumns[c], columns.Gradient!.Floats[c], 1e-5);
        foreach (Parameter parameter in exact.Parameters.Concat(form.Parameters)) parameter.Dispose();
    }

    [Theory]
    [InlineData("xnor")]
    [InlineData("bnn")]
    [InlineData("onebit")]
    [InlineData("bitnet")]
    [InlineData("llm-qat")]
    [InlineData("efficientqat")]
    public void CodesAreTheEffectiveWeightToTheLastBit(string name)
    {
        using WorkerPool pool = new(1);
        using Parameter weight = RandomWeight(6, 1);
        IWeightForm form = name switch
        {
            "onebit" => new OneBit(weight),
            "bitnet" => new BitNet(ScalePrecision.Float16),
            "llm-qat" => new LlmQat(3, ScalePrecision.Float16),
            "efficientqat" => new UniformTraining(weight, new UniformTrainingOptions { GroupSize = 8, ScalePrecision = ScalePrecision.Float16 }),
            _ => new BinaryTraining(Binarizer(name), ScalePrecision.Float16),
        };
        float[] effective = Forward(pool, form, weight);
        QuantizedMatrix quantized = form.Quantize(weight)!;
        Assert.Equal(effective, quantized.Dequantized);
        foreach (Parameter parameter in form.Parameters) parameter.Dispose();
    }

    [Fact]
    public void ATrainingWithStepsGoesOnFromItsCheckpointToTheLastBit()
    {
        using TestKit.TemporaryFolder folder = new();
        using WorkerPool pool = new(2);
        string path = folder.File("checkpoint.safetensors");
        TrainableModel Model()
        {
            TrainableModel model = Tiny.Model();
            foreach (TrainableLinear linear in model.Linears) linear.Use(new UniformTraining(linear.Weight, new UniformTrainingOptions { Bits = 3 }));
            return model;
        }
        using TrainableModel whole = Model(), first = Model(), second = Model();
        double[] losses = Tiny.Train(whole, Tiny.Options, 6);
        using (Run.Trainer trainer = new(first, Tiny.Data(), Tiny.Options, pool))
        {
            for (int i = 0; i < 3; i++) trainer.Step();
            trainer.Save(path, "same");
        }
        using Run.Trainer resumed = new(second, Tiny.Data(), Tiny.Options, pool);
        resumed.Resume(path, "same");
        Assert.Equal(losses[3..], Enumerable.Range(0, 3).Select(_ => resumed.Step().Loss));
    }

    [Fact]
    public void DistillationIsTheMixtureOfCrossEntropyAndDivergence()
    {
        const double share = 0.3;
        using WorkerPool pool = new(2);
        using TrainableModel student = Tiny.Model(1), teacher = Tiny.Model(2);
        int[] ids = Tiny.Ids(40);
        using TrainingPass pass = new(student, pool, 2, 20, teacher: teacher, teacherShare: share);
        double loss = pass.Run(ids);
        // Differences along a random direction of the head, with the loss of the pass itself.
        Parameter head = student.Head;
        SplitMix64 random = new(9);
        float[] direction = [.. Enumerable.Range(0, (int)head.Count).Select(_ => random.NextDouble() < 0.5 ? -1f : 1f)], values = Values(head);
        double along = Enumerable.Range(0, direction.Length).Sum(i => (double)direction[i] * head.Gradient!.Floats[i]);
        double At(float step)
        {
            for (int i = 0; i < values.Length; i++) head.Value.Floats[i] = values[i] + step * direction[i];
            return pass.Run(ids);
        }
        Assert.Equal((At(5e-4f) - At(-5e-4f)) / 1e-3, along, 5e-3 * Math.Max(1, Math.Abs(along)));
        At(0);
        using TrainingPass alone = new(student, pool, 2, 20), same = new(student, pool, 2, 20, teacher: student, teacherShare: 1);
        Assert.Equal(0, same.Run(ids), 1e-5);
        Assert.True(loss > (1 - share) * alone.Run(ids)); // the divergence is never negative
    }

    private static Parameter RandomWeight(ulong seed, float range)
    {
        Parameter weight = new("w.weight", Rows, Columns);
        SplitMix64 random = new(seed);
        for (int i = 0; i < weight.Count; i++) weight.Value.Floats[i] = (float)(2 * random.NextDouble() - 1) * range;
        return weight;
    }

    private static float[] Values(Parameter parameter) => parameter.Value.Span<float>(0, (int)parameter.Count).ToArray();

    private static float[] Forward(WorkerPool pool, IWeightForm form, Parameter weight)
    {
        float[] effective = new float[weight.Count];
        fixed (float* target = effective) form.Forward(pool, weight, target);
        return effective;
    }

    private static float[] Backward(WorkerPool pool, IWeightForm form, Parameter weight, float[] upstream)
    {
        float[] gradient = [.. upstream];
        fixed (float* target = gradient) form.Backward(pool, weight, target);
        return gradient;
    }
}
