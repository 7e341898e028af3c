using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Models.Conversion;

/// <summary>
/// Which ggml type each tensor of a file "of type T" has. The mixtures are those that llama.cpp's quantization tool makes, so that a
/// random model of a type takes as many bytes a token as real files of it do.
/// </summary>
internal static class TypeMixture
{
    private static readonly Dictionary<string, ElementFormat> s_bases = new(StringComparer.OrdinalIgnoreCase)
    {
        ["F32"] = ElementFormat.F32,
        ["F16"] = ElementFormat.F16,
        ["BF16"] = ElementFormat.BF16,
        ["Q4_0"] = ElementFormat.Q4_0,
        ["Q4_1"] = ElementFormat.Q4_1,
        ["Q5_0"] = ElementFormat.Q5_0,
        ["Q5_1"] = ElementFormat.Q5_1,
        ["Q8_0"] = ElementFormat.Q8_0,
        ["Q2_K"] = ElementFormat.Q2_K,
        ["Q3_K_M"] = ElementFormat.Q3_K,
        ["Q4_K_S"] = ElementFormat.Q4_K,
        ["Q4_K_M"] = ElementFormat.Q4_K,
        ["Q5_K_M"] = ElementFormat.Q5_K,
        ["Q6_K"] = ElementFormat.Q6_K,
        ["IQ4_NL"] = ElementFormat.IQ4_NL,
        ["TQ1_0"] = ElementFormat.TQ1_0,
        ["TQ2_0"] = ElementFormat.TQ2_0,
        ["MXFP4"] = ElementFormat.MXFP4,
    };

    /// <summary>Names that <see cref="Choose"/> takes, in any case of letters.</summary>
    public static IReadOnlyCollection<string> Names => s_bases.Keys;

    /// <summary>The format of one tensor.</summary>
    /// <param name="mixture">One of <see cref="Names"/>.</param>
    /// <param name="tensor">The tensor.</param>
    /// <param name="config">The model that it belongs to.</param>
    public static ElementFormat Choose(string mixture, ModelTensor tensor, ModelConfig config)
    {
        if (tensor.Role == TensorRole.Norm) return ElementFormat.F32;
        ElementFormat format = s_bases[mixture];
        if (format.BlockLength() == 1 || format == ElementFormat.Q8_0) return format;
        bool isHead = tensor.Role == TensorRole.Head || (tensor.Role == TensorRole.Embedding && config.TiedEmbedding);
        if (isHead) return tensor.Columns % ElementFormat.Q6_K.BlockLength() == 0 ? ElementFormat.Q6_K : ElementFormat.Q8_0;
        bool shared = config.Heads / config.KvHeads >= 4; // values weigh little then and count much
        bool important = IsImportant(tensor.Block, config.BlockCount);
        return (mixture.ToUpperInvariant(), tensor.Role) switch
        {
            ("TQ1_0" or "TQ2_0", TensorRole.Embedding) => ElementFormat.Q4_K,
            ("Q2_K", TensorRole.Value) => shared ? ElementFormat.Q4_K : ElementFormat.Q3_K,
            ("Q2_K", TensorRole.Down or TensorRole.AttentionOutput) => ElementFormat.Q3_K,
            ("Q3_K_M", TensorRole.Value) => tensor.Block < 2 ? ElementFormat.Q5_K : ElementFormat.Q4_K,
            ("Q3_K_M", TensorRole.Down) => tensor.Block < config.BlockCount / 16 ? ElementFormat.Q5_K : ElementFormat.Q4_K,
            ("Q3_K_M", TensorRole.AttentionOutput) => ElementFormat.Q4_K,
            ("Q4_K_S", TensorRole.Value) => tensor.Block < 4 ? ElementFormat.Q5_K : format,
            ("Q4_K_S", TensorRole.Down) => tensor.Block < config.BlockCount / 8 ? ElementFormat.Q5_K : format,
            ("Q4_K_M" or "Q5_K_M", TensorRole.Value or TensorRole.Down) => important ? ElementFormat.Q6_K : format,
            _ => format,
        };
    }

    // The first and the last eighth of the blocks, and every third between.
    private static bool IsImportant(int block, int blocks) =>
        block < blocks / 8 || block >= 7 * blocks / 8 || (block - blocks / 8) % 3 == 2;
}
