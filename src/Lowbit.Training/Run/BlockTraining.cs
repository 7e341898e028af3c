using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Models;
using Lowbit.Training.Data;
using Lowbit.Training.Model;
using Lowbit.Training.Optimization;

namespace Lowbit.Training.Run;

/// <summary>Settings of <see cref="BlockTraining"/>.</summary>
public sealed record BlockTrainingOptions
{
    /// <summary>Steps of every block.</summary>
    public required int Steps { get; init; }

    /// <summary>Sequences of a batch.</summary>
    public int Batch { get; init; } = 8;

    /// <summary>Batches whose inputs are kept; the steps take them in turn.</summary>
    public int Batches { get; init; } = 16;

    /// <summary>Largest learning rate of the weights.</summary>
    public double LearningRate { get; init; } = 1e-4;

    /// <summary>Learning rate of what the forms train, over that of the weights; the paper's 1e-4 over 2e-5.</summary>
    public double FormFactor { get; init; } = 5;
}

/// <summary>How a block was trained.</summary>
/// <param name="Block">Its number, from 0.</param>
/// <param name="Before">‖block(x̂) − target‖² / ‖target‖² over all batches, through the forms before the first step.</param>
/// <param name="After">The same after the last.</param>
public sealed record BlockReport(int Block, double Before, double After);

/// <summary>
/// Block-AP, the first phase of EfficientQAT (arXiv 2407.11062, section 3.2): block after block, weights and forms of the linears and
/// the weights of the norms are trained so that the block, reading what the trained blocks before it give, has the output of the
/// float block behind float blocks; biases stay as they are. Needs the memory of one block's gradients and of two streams of hidden states.
/// </summary>
/// <remarks>
/// Departs from the authors' code: float32 throughout (there products and hidden states in half precision); learning rates go
/// down to zero (there to a twentieth); steps are counted instead of epochs, and no batches are kept back to measure on.
/// </remarks>
public sealed unsafe class BlockTraining : IDisposable
{
    private readonly TrainableModel _model;
    private readonly WorkerPool _pool;
    private readonly BlockTrainingOptions _options;
    private readonly BlockPass _pass;
    private readonly BlockActivations _kept;
    private readonly NativeBuffer _inputs, _targets, _output; // [batches, batch · length, modelDim] and one of it
    private readonly long _elements;                        // of a batch

    /// <summary>Embeds the windows.</summary>
    /// <param name="model">A float model without forms.</param>
    /// <param name="data">Where windows come from, the first ones.</param>
    /// <param name="options">Settings.</param>
    /// <param name="pool">Threads.</param>
    public BlockTraining(TrainableModel model, TokenWindows data, BlockTrainingOptions options, WorkerPool pool)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.Batches);
        _model = model;
        _pool = pool;
        _options = options;
        _elements = (long)options.Batch * data.Length * model.Config.ModelDim;
        using EmbeddingPass embedding = new(model, pool, options.Batch, data.Length);
        _pass = new BlockPass(model.Config, pool, options.Batch, data.Length);
        _kept = new BlockActivations(model.Config, options.Batch * data.Length);
        _inputs = new NativeBuffer(_elements * options.Batches * sizeof(float));
        _targets = new NativeBuffer(_elements * options.Batches * sizeof(float));
        _output = new NativeBuffer(_elements * sizeof(float));
        int[] ids = new int[options.Batch * data.Length];
        for (int b = 0; b < options.Batches; b++)
        {
            data.Fill(b, ids);
            embedding.Forward(ids, Inputs(b));
            Rows.Copy(Inputs(b), Targets(b), _elements);
        }
    }

    /// <summary>Trains all blocks and leaves the forms on their linears.</summary>
    /// <param name="form">Makes the form of a linear.</param>
    /// <param name="folder">Keeps finished blocks, and has those of an interrupted training; null to keep nothing.</param>
    /// <param name="progress">Told after every block, or null.</param>
    /// <param name="cancellation">Stops between two steps.</param>
    /// <exception cref="LowbitException">The loss is no longer a number, or a kept block is not of this training.</exception>
    public IReadOnlyList<BlockReport> Run(Func<TrainableLinear, IWeightForm> form, TrainingFolder? folder = null, Action<BlockReport>? progress = null, CancellationToken cancellation = default)
    {
        List<BlockReport> reports = [];
        foreach (TrainableBlock block in _model.Blocks)
        {
            Advance(block, _targets);
            foreach (TrainableLinear linear in block.Linears)
            {
                linear.Weight.Trainable = true;
                linear.Use(form(linear));
                linear.Refresh(_pool);
            }
            foreach (TrainableNorm norm in block.Norms) norm.Weight.Trainable = true;
            Parameter[] weights = [.. block.Linears.Select(linear => linear.Weight), .. block.Norms.Select(norm => norm.Weight)];
            Parameter[] added = [.. block.Linears.SelectMany(linear => linear.Added).Where(parameter => parameter.Trainable)];
            if (folder?.Load(block.Index, [.. weights, .. added]) is { } kept)
            {
                foreach (TrainableLinear linear in block.Linears) linear.Refresh(_pool);
                reports.Add(kept);
            }
            else
            {
                double before = Error(block);
                Train(block, weights, added, cancellation);
                reports.Add(new BlockReport(block.Index, before, Error(block)));
                folder?.Save(reports[^1], [.. weights, .. added]);
            }
            foreach (TrainableLinear linear in block.Linears) linear.Freeze();
            foreach (TrainableNorm norm in block.Norms) norm.Weight.Trainable = false;
            Advance(block, _inputs);
            progress?.Invoke(reports[^1]);
        }
        return reports;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _pass.Dispose();
        _kept.Dispose();
        _inputs.Dispose();
        _targets.Dispose();
        _output.Dispose();
    }

    private float* Inputs(int batch) => _inputs.Floats + _elements * batch;

    private float* Targets(int batch) => _targets.Floats + _elements * batch;

    private void Train(TrainableBlock block, Parameter[] weights, Parameter[] added, CancellationToken cancellation)
    {
        using AdamW ofWeights = new(_pool, weights, new AdamWOptions()), ofForms = new(_pool, added, new AdamWOptions());
        LearningRateSchedule schedule = new(_options.LearningRate, _options.Steps, 0, Decay.Cosine);
        for (int step = 0; step < _options.Steps; step++)
        {
            cancellation.ThrowIfCancellationRequested();
            foreach (Parameter parameter in weights.Concat(added)) parameter.Gradient!.Span<float>(0, (int)parameter.Count).Clear();
            foreach (TrainableLinear linear in block.Linears) linear.Refresh(_pool);
            int batch = step % _options.Batches;
            _pass.Forward(block, Inputs(batch), _kept, _output.Floats);
            double loss = 0;
            for (long i = 0; i < _elements; i++)
            {
                float rest = _output.Floats[i] - Targets(batch)[i];
                loss += (double)rest * rest / _elements;
                _output.Floats[i] = 2 * rest / _elements;
            }
            if (!double.IsFinite(loss)) throw new LowbitException($"block {block.Index}: the loss of step {step + 1} is {loss}, so the training has diverged; use a smaller --block-learning-rate.");
            _pass.Backward(block, Inputs(batch), _kept, _output.Floats);
            foreach (TrainableLinear linear in block.Linears) linear.FinishGradient(_pool);
            ofWeights.Step(step + 1, schedule.At(step), 1);
            ofForms.Step(step + 1, schedule.At(step) * _options.FormFactor, 1);
        }
        foreach (TrainableLinear linear in block.Linears) linear.Refresh(_pool);
    }

    private double Error(TrainableBlock block)
    {
        double rest = 0, size = 0;
        for (int b = 0; b < _options.Batches; b++)
        {
            _pass.Forward(block, Inputs(b), _kept, _output.Floats);
            for (long i = 0; i < _elements; i++)
            {
                double target = Targets(b)[i], difference = _output.Floats[i] - Targets(b)[i];
                rest += difference * difference;
                size += target * target;
            }
        }
        return rest / size;
    }

    // stream ← block(stream)
    private void Advance(TrainableBlock block, NativeBuffer stream)
    {
        for (int b = 0; b < _options.Batches; b++)
        {
            float* batch = stream.Floats + _elements * b;
            _pass.Forward(block, batch, _kept, _output.Floats);
            Rows.Copy(_output.Floats, batch, _elements);
        }
    }
}
