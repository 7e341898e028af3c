using System;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Quantization.Methods;

namespace Lowbit.Quantization.Pipeline;

/// <summary>What a matrix that no method quantizes is stored as.</summary>
public enum EmbeddingFormat
{
    /// <summary>As it is in the source, byte for byte.</summary>
    Keep,
    /// <summary>Half precision.</summary>
    F16,
    /// <summary>ggml's blocks of 32 8-bit codes with a half-precision scale.</summary>
    Q8_0,
}

/// <summary>Everything that decides what a run writes.</summary>
public sealed record QuantizeOptions
{
    /// <summary>Name of the method, as <c>--method</c> takes it.</summary>
    public required string Method { get; init; }

    /// <summary>The method's settings.</summary>
    public required MethodOptions MethodOptions { get; init; }

    /// <summary>Other methods and settings for some linears, or null.</summary>
    public Recipe? Recipe { get; init; }

    /// <summary>A size to meet by giving every linear a setting of its own, or null.</summary>
    public BitTarget? Target { get; init; }

    /// <summary>The folder to make.</summary>
    public required string Output { get; init; }

    /// <summary>What embeddings and the output projection are stored as.</summary>
    public EmbeddingFormat Embeddings { get; init; } = EmbeddingFormat.Keep;

    /// <summary>How the positions of salient weights are stored.</summary>
    public PositionsForm Positions { get; init; } = PositionsForm.Bitmap;

    /// <summary>Replace an output that is there, throw away another run's work folder, write a model that computes nonsense.</summary>
    public bool Force { get; init; }

    /// <summary>
    /// Bytes that the process should stay under; 0 for no limit. Decides where hidden states are kept and nothing about the result.
    /// </summary>
    public long MemoryLimit { get; init; }

    /// <summary>Everything in one line, for the fingerprint and the file's record of how it was made.</summary>
    public override string ToString() =>
        FormattableString.Invariant($"{Method}; {MethodOptions}; embeddings {Embeddings}; positions {Positions}{(Recipe is null ? "" : $"; recipe {Recipe}")}{(Target is null ? "" : $"; target {Target}")}");

    /// <summary>What becomes of a linear.</summary>
    /// <param name="name">Its name without ending, as the written folder has it.</param>
    /// <returns>Name and settings of the method; the settings are null where the linear is kept as it is.</returns>
    public (string Method, MethodOptions? Options) For(string name) =>
        Recipe?.Find(name) is { } rule ? (rule.Method, rule.Options) : (Method, MethodOptions);
}
