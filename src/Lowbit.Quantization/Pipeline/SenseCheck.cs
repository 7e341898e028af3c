using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;

namespace Lowbit.Quantization.Pipeline;

/// <summary>
/// Whether the quantized model still makes sense: its likelihood on the beginning of the calibration text, beside that of
/// the float model. A sign of life, no measurement, since the text was used.
/// </summary>
internal sealed unsafe class SenseCheck
{
    /// <summary>Windows that are looked at, at most.</summary>
    public const int Windows = 2;

    /// <summary>Tokens of a window that are looked at, at most.</summary>
    public const int Tokens = 512;

    private readonly CalibrationSet _calibration;
    private readonly int _vocabulary;

    /// <summary>Reads the text with the float model.</summary>
    public SenseCheck(LanguageModel model, CalibrationSet calibration, WorkerPool pool)
    {
        _calibration = calibration;
        _vocabulary = model.Config.VocabularySize;
        int context = Math.Min(Tokens, calibration.Context);
        using Session session = new(model, pool, context, ActivationMode.Float);
        Before = Mean((window, add) =>
        {
            session.Reset();
            session.ForwardAll(calibration.Windows[window].AsSpan(0, context), (first, logits, count) => add(first, logits, count));
        });
    }

    /// <summary>Receives logits [tokens, vocabulary] from a position on.</summary>
    public delegate void Adder(int firstPosition, float* logits, int tokens);

    /// <summary>Mean −log p of the next token by the float model.</summary>
    public double Before { get; }

    /// <summary>Mean −log p of the next token.</summary>
    /// <param name="read">Gives the logits of the window of a number.</param>
    public double Mean(Action<int, Adder> read)
    {
        double sum = 0;
        long tokens = 0;
        for (int w = 0; w < Math.Min(Windows, _calibration.Windows.Count); w++)
        {
            int[] window = _calibration.Windows[w];
            read(w, (first, logits, count) =>
            {
                for (int t = 0; t < count && first + t + 1 < Math.Min(Tokens, window.Length); t++, tokens++)
                {
                    ReadOnlySpan<float> row = new(logits + (long)t * _vocabulary, _vocabulary);
                    sum += Softmax.LogSumExp(row) - row[window[first + t + 1]];
                }
            });
        }
        return sum / tokens;
    }

    /// <summary>Refuses a model that was broken, or adds a warning about a bad one.</summary>
    /// <param name="after">Mean −log p of the next token by the quantized model.</param>
    /// <param name="force">Warn where it would be refused.</param>
    /// <param name="warnings">Where warnings go.</param>
    /// <exception cref="LowbitException">The model computes noise, the float model did not.</exception>
    public void Judge(double after, bool force, List<string> warnings)
    {
        double lot = Math.Log(_vocabulary), unigram = Coverage.UnigramEntropy(_calibration);
        string found = FormattableString.Invariant($"on its own calibration text the quantized model has perplexity {Math.Exp(after):G4} where the original has {Math.Exp(Before):G4}");
        if (!(after < lot) && Before < lot)
        {
            string problem = $"{found}: no better than drawing from its {_vocabulary} tokens by lot";
            if (!force) throw new LowbitException($"{problem}; use milder settings (more salient weights or bits), or write it all the same with --force.");
            warnings.Add(problem + ".");
        }
        else if (after > unigram && Before < unigram)
        {
            warnings.Add($"{found}: worse than knowing only how often each token occurs; use milder settings (more salient weights or bits).");
        }
    }
}
