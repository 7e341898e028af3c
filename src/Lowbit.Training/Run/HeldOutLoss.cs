using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Training.Model;

namespace Lowbit.Training.Run;

/// <summary>
/// The loss on a text that is not trained on, by the protocol <c>gptq</c> of the verb eval: windows that do not overlap, the
/// rest dropped, the mean over the windows of the mean over their tokens but the first.
/// </summary>
public static class HeldOutLoss
{
    /// <summary>Measures the model as it is now, through the forms of its linears.</summary>
    /// <param name="model">The model.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="ids">Tokens of the text.</param>
    /// <param name="context">Tokens of a window.</param>
    /// <param name="cancellation">Stops between two windows.</param>
    /// <returns>Mean negative log-likelihood, nats a token; its exponential is the perplexity.</returns>
    /// <exception cref="LowbitException">The text is shorter than a window.</exception>
    public static double Measure(TrainableModel model, WorkerPool pool, ReadOnlySpan<int> ids, int context, CancellationToken cancellation = default)
    {
        int windows = ids.Length / context;
        if (windows == 0) throw new LowbitException($"the text to measure on has {ids.Length} tokens, fewer than a window of {context}; give more text.");
        model.Refresh(pool);
        using TrainingPass pass = new(model, pool, 1, context, recompute: true);
        double sum = 0;
        for (int w = 0; w < windows; w++)
        {
            cancellation.ThrowIfCancellationRequested();
            sum += pass.Evaluate(ids.Slice(w * context, context));
        }
        return sum / windows;
    }
}
