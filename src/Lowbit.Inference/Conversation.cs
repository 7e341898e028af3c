using System;
using System.Collections.Generic;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Tokenizers;
using Lowbit.Tokenizers.Chat;

namespace Lowbit.Inference;

/// <summary>
/// A conversation through the model's chat template. The whole of it is rendered for every answer; what the cache already
/// holds is not read again.
/// </summary>
public sealed class Conversation : IDisposable
{
    private readonly Tokenizer _tokenizer;
    private readonly ChatTemplate _template;
    private readonly Session _session;
    private readonly Generator _generator;
    private readonly GenerationOptions _options;
    private readonly List<ChatMessage> _messages = [];
    private readonly List<int> _read = []; // tokens of the cache, and behind them the last one generated
    private readonly List<int> _answer = [];

    /// <summary>Begins a conversation.</summary>
    /// <param name="model">The model; stays the caller's.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="pool">Threads; stay the caller's.</param>
    /// <param name="mode">What products with packed weights take.</param>
    /// <param name="context">Most tokens of the whole conversation.</param>
    /// <param name="sampler">Chooses tokens.</param>
    /// <param name="options">When an answer ends.</param>
    /// <param name="cache">What keys and values are stored as.</param>
    /// <exception cref="LowbitException">The model has no chat template.</exception>
    public Conversation(LanguageModel model, Tokenizer tokenizer, WorkerPool pool, ActivationMode mode, int context, Sampler sampler, GenerationOptions options, ElementFormat cache = ElementFormat.F32)
    {
        _tokenizer = tokenizer;
        _template = tokenizer.ChatTemplate ??
            throw new LowbitException($"{model.Checkpoint.Path}: the model has no chat template, so it was not made for conversations; use `lowbit run` to continue a text.");
        _session = new Session(model, pool, context, mode, cache: cache);
        _generator = new Generator(_session, sampler);
        _options = options;
    }

    /// <summary>The tokens of the last answer, the one that ended it included.</summary>
    public IReadOnlyList<int> AnswerIds => _answer;

    /// <summary>The last answer without special tokens.</summary>
    public string AnswerText { get; private set; } = "";

    /// <summary>What the last answer cost; the prompt is what was not in the cache.</summary>
    public GenerationStatistics Statistics => _generator.Statistics;

    /// <summary>Says something.</summary>
    /// <param name="role">system, user or assistant.</param>
    /// <param name="content">What is said.</param>
    public void Add(string role, string content) => _messages.Add(new ChatMessage(role, content));

    /// <summary>Lets the model answer, piece by piece; the answer then belongs to the conversation.</summary>
    /// <param name="cancellation">Stops between two tokens.</param>
    /// <exception cref="LowbitException">The conversation does not fit in the context.</exception>
    public IEnumerable<string> Answer(CancellationToken cancellation = default) =>
        Answer(_tokenizer.Encode(_template.Render(_messages, addGenerationPrompt: true), addSpecial: false, parseSpecial: true), cancellation);

    /// <summary>The same after a conversation that is given as tokens, template and all, instead of what was said here.</summary>
    /// <param name="prompt">The whole of it.</param>
    /// <param name="cancellation">Stops between two tokens.</param>
    /// <exception cref="LowbitException">The conversation does not fit in the context.</exception>
    public IEnumerable<string> Answer(List<int> prompt, CancellationToken cancellation = default)
    {
        int known = 0;
        while (known < _session.Position && known < prompt.Count - 1 && prompt[known] == _read[known]) known++;
        _session.Truncate(known);
        _read.Clear();
        _read.AddRange(prompt);
        _answer.Clear();
        IncrementalDecoder decoder = _tokenizer.CreateDecoder();
        foreach (int token in _generator.Generate(prompt.GetRange(known, prompt.Count - known), _options, cancellation))
        {
            _read.Add(token);
            _answer.Add(token);
            yield return decoder.Next(token);
        }
        yield return decoder.Flush();
        AnswerText = _tokenizer.Decode(_answer.ToArray());
        _messages.Add(new ChatMessage("assistant", AnswerText));
    }

    /// <inheritdoc/>
    public void Dispose() => _session.Dispose();
}
