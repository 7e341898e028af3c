namespace Lowbit.Evaluation;

/// <summary>What is scored, given which context. Perplexities of different protocols cannot be compared.</summary>
public enum PerplexityProtocol
{
    /// <summary>
    /// The text without special tokens in windows that do not overlap; every token is scored but the first of a window.
    /// The protocol of the GPTQ code, which most papers on quantization copied.
    /// </summary>
    Gptq,

    /// <summary>
    /// The text with the begin token if the model adds one, in windows that do not overlap and start with the begin token
    /// in place of their own first one; the second half of a window is scored. The protocol of llama-perplexity.
    /// </summary>
    LlamaCpp,
}
