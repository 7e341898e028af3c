using System;
using System.Diagnostics;
using Lowbit.Core;
using Lowbit.Training.Data;
using Lowbit.Training.Model;
using Lowbit.Training.Operators;
using Lowbit.Training.Optimization;

namespace Lowbit.Training.Run;

/// <summary>
/// Takes a model through its steps: batches, gradients, clipping, AdamW. The same model, data and options give the same
/// numbers to the last bit, with any number of threads and any number of interruptions. What the products take of the
/// weights is made anew whenever the parameters change, so that the model can be written after any step.
/// </summary>
public sealed class Trainer : IDisposable
{
    private readonly TrainableModel _model;
    private readonly TokenWindows _data;
    private readonly WorkerPool _pool;
    private readonly TrainingPass _pass;
    private readonly AdamW _optimizer;
    private readonly LearningRateSchedule _schedule;
    private readonly int[] _batch;

    /// <summary>Allocates activations and the optimizer's state.</summary>
    /// <param name="model">The model; what is to be trained is marked so.</param>
    /// <param name="data">Where batches come from.</param>
    /// <param name="options">Settings.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="teacher">A model to learn from besides the text, or null.</param>
    /// <exception cref="LowbitException">A setting is out of range.</exception>
    public Trainer(TrainableModel model, TokenWindows data, TrainingOptions options, WorkerPool pool, TrainableModel? teacher = null)
    {
        options.Validate();
        _model = model;
        _data = data;
        _pool = pool;
        Options = options;
        _schedule = options.Schedule;
        _pass = new TrainingPass(model, pool, options.Batch, options.Context, options.Recompute, teacher, options.TeacherShare, options.BFloat16Activations);
        _optimizer = new AdamW(pool, model.Trained, options.Optimizer);
        _batch = new int[options.Batch * options.Context];
        model.Refresh(pool);
    }

    /// <summary>Settings.</summary>
    public TrainingOptions Options { get; }

    /// <summary>Steps done.</summary>
    public int StepsDone { get; private set; }

    /// <summary>Does a step.</summary>
    /// <exception cref="LowbitException">The loss is no longer a number; parameters are as they were before the step.</exception>
    public StepReport Step()
    {
        long start = Stopwatch.GetTimestamp();
        _model.ClearGradients();
        double loss = 0;
        for (int i = 0; i < Options.Accumulation; i++)
        {
            long batch = (long)StepsDone * Options.Accumulation + i;
            _data.Fill(batch, _batch);
            Dropout dropout = new((float)Options.Dropout, _data.Key(batch));
            loss += _pass.Run(_batch, 1.0 / Options.Accumulation, dropout) / Options.Accumulation;
        }
        _model.FinishGradients(_pool);
        double norm = GradientNorm.Of(_pool, _optimizer.Parameters), rate = _schedule.At(StepsDone);
        if (!double.IsFinite(loss) || !double.IsFinite(norm))
            throw new LowbitException(FormattableString.Invariant($"the loss of step {StepsDone + 1} is {loss} and its gradient {norm}, so the training has diverged; use a smaller --learning-rate, a longer --warm-up or --clip 1."));
        float scale = Options.Clip > 0 && norm > Options.Clip ? (float)(Options.Clip / norm) : 1;
        StepsDone++;
        _optimizer.Step(StepsDone, rate, scale);
        _model.Refresh(_pool);
        return new StepReport(StepsDone, loss, rate, norm, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    /// <summary>Writes a checkpoint from which <see cref="Resume"/> goes on to the last bit.</summary>
    /// <param name="path">The file; it appears when it is whole.</param>
    /// <param name="fingerprint">What identifies model, method, data and options.</param>
    public void Save(string path, string fingerprint) => TrainingCheckpoint.Save(path, fingerprint, StepsDone, _optimizer);

    /// <summary>Goes on from a checkpoint.</summary>
    /// <param name="path">The file.</param>
    /// <param name="fingerprint">What identifies model, method, data and options.</param>
    /// <exception cref="LowbitException">The checkpoint is damaged or belongs to another training.</exception>
    public void Resume(string path, string fingerprint)
    {
        StepsDone = TrainingCheckpoint.Load(path, fingerprint, Options.Steps, _optimizer);
        _model.Refresh(_pool);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _pass.Dispose();
        _optimizer.Dispose();
    }
}
