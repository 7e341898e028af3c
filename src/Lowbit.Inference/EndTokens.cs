using System.Collections.Immutable;
using System.Linq;
using Lowbit.Models;
using Lowbit.Tokenizers;

namespace Lowbit.Inference;

/// <summary>The tokens that end a text: those of the model's files and those of its tokenizer.</summary>
public static class EndTokens
{
    /// <summary>All of them, each once.</summary>
    /// <param name="model">The model.</param>
    /// <param name="tokenizer">Its tokenizer, or null where it has none.</param>
    public static ImmutableArray<int> Of(LanguageModel model, Tokenizer? tokenizer) =>
        [.. model.Config.EndIds.Concat(tokenizer?.EndIds ?? []).Distinct()];
}
