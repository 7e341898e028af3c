using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using Lowbit.Core;
using Lowbit.Tokenizers;

namespace Lowbit.Evaluation;

/// <summary>A text cut into windows as a protocol wants it: everything that defines a perplexity except the model.</summary>
public sealed class ScoredText
{
    private ScoredText(PerplexityProtocol protocol, int context, int tokens, ImmutableArray<ScoredWindow> windows)
    {
        Protocol = protocol;
        Context = context;
        Tokens = tokens;
        Windows = windows;
        foreach (ScoredWindow window in windows) ScoredTokens += window.ScoredTokens;
    }

    /// <summary>The protocol.</summary>
    public PerplexityProtocol Protocol { get; }

    /// <summary>Tokens of a window.</summary>
    public int Context { get; }

    /// <summary>Tokens of the whole text, the dropped rest included.</summary>
    public int Tokens { get; }

    /// <summary>The windows to be scored.</summary>
    public ImmutableArray<ScoredWindow> Windows { get; }

    /// <summary>Tokens whose probability counts, in all windows.</summary>
    public long ScoredTokens { get; }

    /// <summary>Checks that a model knows all tokens.</summary>
    /// <param name="vocabulary">Number of tokens the model knows.</param>
    /// <exception cref="LowbitException">It does not.</exception>
    internal void RequireVocabulary(int vocabulary)
    {
        foreach (ScoredWindow window in Windows)
        {
            foreach (int token in window.Tokens)
            {
                if ((uint)token >= (uint)vocabulary)
                    throw new LowbitException($"the text has token {token}, but the model's vocabulary ends at {vocabulary - 1}; the tokenizer belongs to another model.");
            }
        }
    }

    /// <summary>Tokenizes a text and cuts it.</summary>
    /// <param name="text">The text as it stands.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="protocol">How to cut.</param>
    /// <param name="context">Tokens of a window.</param>
    /// <param name="windows">Only this many windows from the start; 0 for all.</param>
    /// <exception cref="LowbitException">The text does not fill one window.</exception>
    public static ScoredText Create(string text, Tokenizer tokenizer, PerplexityProtocol protocol, int context, int windows = 0)
    {
        if (protocol == PerplexityProtocol.Gptq) return Cut(tokenizer.EncodePlain(text), protocol, context, windows, null);
        // llama-perplexity drops one line end at the end of the file.
        string kept = text.EndsWith('\n') ? text[..^1] : text;
        bool addsBegin = tokenizer.BeginId is { } id && tokenizer.Encode("", addSpecial: true) is [int first, ..] && first == id;
        return Cut(tokenizer.Encode(kept, addSpecial: true, parseSpecial: false), protocol, context, windows, addsBegin ? tokenizer.BeginId : null);
    }

    /// <summary>Cuts tokens.</summary>
    /// <param name="tokens">All tokens of the text.</param>
    /// <param name="protocol">How to cut.</param>
    /// <param name="context">Tokens of a window.</param>
    /// <param name="windows">Only this many windows from the start; 0 for all.</param>
    /// <param name="begin">llama.cpp's protocol: what stands at the start of every window, if anything.</param>
    /// <exception cref="LowbitException">The text does not fill one window, or the context is too short to score a token.</exception>
    public static ScoredText Cut(IReadOnlyList<int> tokens, PerplexityProtocol protocol, int context, int windows, int? begin)
    {
        int first = protocol == PerplexityProtocol.Gptq ? 1 : context / 2 + 1;
        if (first >= context)
            throw new LowbitException($"--context is {context}, but must be at least {(protocol == PerplexityProtocol.Gptq ? 2 : 3)} for a token to be scored.");
        int count = tokens.Count / context;
        if (count == 0)
            throw new LowbitException($"the text has {tokens.Count} tokens, but one window of the context takes {context}; give a longer --text or a shorter --context.");
        if (windows > 0) count = Math.Min(count, windows);
        var cut = ImmutableArray.CreateBuilder<ScoredWindow>(count);
        for (int w = 0; w < count; w++)
        {
            int[] window = new int[context];
            for (int i = 0; i < context; i++) window[i] = tokens[w * context + i];
            if (protocol == PerplexityProtocol.LlamaCpp && begin is { } id) window[0] = id;
            cut.Add(new ScoredWindow(window, first));
        }
        return new ScoredText(protocol, context, tokens.Count, cut.MoveToImmutable());
    }
}
