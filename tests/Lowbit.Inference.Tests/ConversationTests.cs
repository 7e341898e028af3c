using System.IO;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.TestKit;
using Lowbit.Tokenizers;
using Xunit;

namespace Lowbit.Inference.Tests;

public class ConversationTests
{
    private const string Template = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}";

    [Fact]
    public void WhatTheCacheHoldsIsNotReadAgainAndChangesNothing()
    {
        using var tiny = new TinyModel();
        File.WriteAllText(Path.Combine(tiny.Path, "chat_template.jinja"), Template);
        Tokenizer tokenizer = TokenizerLoader.Load(tiny.Path);
        using LanguageModel model = LanguageModel.Open(tiny.Path);
        using var pool = new WorkerPool(1);
        using Conversation chat = Create(model, tokenizer, pool), anew = Create(model, tokenizer, pool);

        chat.Add("user", "hi");
        string[] pieces = [.. chat.Answer()];
        Assert.Equal(chat.AnswerText, string.Concat(pieces));
        Assert.Equal("u:hi\na:".Length, chat.Statistics.PromptTokens);
        string first = chat.AnswerText;

        chat.Add("user", "more");
        _ = chat.Answer().Count();
        anew.Add("user", "hi");
        anew.Add("assistant", first);
        anew.Add("user", "more");
        _ = anew.Answer().Count();
        Assert.Equal(anew.AnswerIds, chat.AnswerIds);
        Assert.True(chat.Statistics.PromptTokens < anew.Statistics.PromptTokens, $"{chat.Statistics.PromptTokens} of {anew.Statistics.PromptTokens} tokens were read");
    }

    [Fact]
    public void AModelWithoutTemplateIsRefused()
    {
        using var tiny = new TinyModel();
        using LanguageModel model = LanguageModel.Open(tiny.Path);
        using var pool = new WorkerPool(1);
        var error = Assert.Throws<LowbitException>(() => Create(model, TokenizerLoader.Load(tiny.Path), pool));
        Assert.Contains("has no chat template", error.Message);
    }

    private static Conversation Create(LanguageModel model, Tokenizer tokenizer, WorkerPool pool) => new(
        model, tokenizer, pool, ActivationMode.Float, context: 64, new Sampler(new SamplingOptions(), model.Config.VocabularySize), new GenerationOptions { MaxTokens = 5 });
}
