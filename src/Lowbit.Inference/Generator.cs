using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using Lowbit.Core;
using Lowbit.Models;

namespace Lowbit.Inference;

/// <summary>Continues one sequence token by token.</summary>
public sealed class Generator
{
    private const int PromptChunk = 512; // how often a long prompt looks whether it is still wanted

    private readonly Session _session;
    private readonly Sampler _sampler;
    private readonly float[] _logits;
    private readonly int[] _last = new int[1];
    private int _promptTokens, _generated;
    private TimeSpan _prefill, _decode;
    private StopReason _stop;

    /// <summary>Binds a session and a sampler; both stay the caller's.</summary>
    /// <param name="session">The sequence so far.</param>
    /// <param name="sampler">Chooses tokens.</param>
    public Generator(Session session, Sampler sampler)
    {
        _session = session;
        _sampler = sampler;
        _logits = new float[session.VocabularySize];
    }

    /// <summary>What the last generation did, or does so far.</summary>
    public GenerationStatistics Statistics => new(_promptTokens, _generated, _prefill, _decode, _stop);

    /// <summary>Reads the prompt, then yields a token whenever the next one is asked for.</summary>
    /// <param name="prompt">Tokens to append to the sequence; at least one.</param>
    /// <param name="options">When to end.</param>
    /// <param name="cancellation">Stops between two tokens.</param>
    /// <remarks>
    /// A token is fed back only when the one after it is wanted, so the last token is not in the session's cache.
    /// </remarks>
    /// <exception cref="LowbitException">The prompt is empty, does not fit, or names a token that is not there.</exception>
    public IEnumerable<int> Generate(IReadOnlyList<int> prompt, GenerationOptions options, CancellationToken cancellation = default)
    {
        int[] tokens = [.. prompt];
        Check(tokens);
        return Run(tokens, options, cancellation);
    }

    private IEnumerable<int> Run(int[] prompt, GenerationOptions options, CancellationToken cancellation)
    {
        (_promptTokens, _generated, _prefill, _decode, _stop) = (prompt.Length, 0, TimeSpan.Zero, TimeSpan.Zero, StopReason.None);
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < prompt.Length; i += PromptChunk)
        {
            cancellation.ThrowIfCancellationRequested();
            _session.Forward(prompt.AsSpan(i, Math.Min(PromptChunk, prompt.Length - i)), _logits);
        }
        _prefill = Stopwatch.GetElapsedTime(start);
        while (_generated < options.MaxTokens)
        {
            cancellation.ThrowIfCancellationRequested();
            if (_generated > 0)
            {
                if (_session.Position == _session.Context)
                {
                    _stop = StopReason.ContextFull;
                    yield break;
                }
                start = Stopwatch.GetTimestamp();
                _session.Forward(_last, _logits);
                _decode += Stopwatch.GetElapsedTime(start);
            }
            _last[0] = _sampler.Sample(_logits);
            _generated++;
            bool ends = options.StopIds.Contains(_last[0]);
            if (ends) _stop = StopReason.EndOfText;
            yield return _last[0];
            if (ends) yield break;
        }
        _stop = StopReason.MaxTokens;
    }

    private void Check(int[] prompt)
    {
        if (prompt.Length == 0)
            throw new LowbitException("the prompt has no tokens, so there is nothing to continue; give some text.");
        int room = _session.Context - _session.Position;
        if (prompt.Length > room)
            throw new LowbitException($"the prompt has {prompt.Length} tokens, but the context has room for {room}; shorten the prompt.");
        foreach (int token in prompt)
        {
            if ((uint)token >= (uint)_logits.Length)
                throw new LowbitException($"the prompt has token {token}, but the model's vocabulary ends at {_logits.Length - 1}; it belongs to another tokenizer.");
        }
    }
}
