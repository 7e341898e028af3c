using System.Collections.Generic;

namespace Lowbit.Quantization.Pipeline;

/// <summary>One quantized linear.</summary>
/// <param name="Name">Name of its tensor, without ending.</param>
/// <param name="OutputError">‖X(W−Ŵ)ᵀ‖² / ‖XWᵀ‖² over the calibration inputs.</param>
/// <param name="BitsPerWeight">Its packed bytes times eight over its weights, scales and positions included.</param>
/// <param name="Weights">Number of weights.</param>
/// <param name="Bytes">Packed bytes.</param>
/// <param name="Method">Name of the method.</param>
/// <param name="DeadInputs">Inputs that were zero in the whole calibration text.</param>
public sealed record LayerReport(string Name, double OutputError, double BitsPerWeight, long Weights, long Bytes, string Method, int DeadInputs);

/// <summary>What a search for a size gave a linear.</summary>
/// <param name="Name">Name of its tensor, without ending.</param>
/// <param name="Settings">The method's settings by name.</param>
/// <param name="BitsPerWeight">Bits per weight with them, scales included.</param>
/// <param name="Sensitivity">Divergence of the whole model that a unit of this linear's output error makes.</param>
/// <param name="ExpectedDivergence">That times the error with these settings.</param>
public sealed record AllocatedLayer(string Name, IReadOnlyDictionary<string, string> Settings, double BitsPerWeight, double Sensitivity, double ExpectedDivergence);

/// <summary>Where the bytes of the written file are.</summary>
/// <param name="Part">What they hold: positions, low codes, salient codes, scales, embeddings, norms and biases, header.</param>
/// <param name="Bytes">Number of bytes.</param>
public sealed record ByteItem(string Part, long Bytes);

/// <summary>Seconds spent in one stage of the run.</summary>
/// <param name="Stage">Name of the stage.</param>
/// <param name="Seconds">Wall-clock seconds.</param>
public sealed record StageTime(string Stage, double Seconds);

/// <summary>What a run did and what it cost.</summary>
public sealed record QuantizeReport
{
    /// <summary>Name of the method.</summary>
    public required string Method { get; init; }

    /// <summary>The folder that was written.</summary>
    public required string Output { get; init; }

    /// <summary>Bytes of all tensors times eight over all weights of the model, whatever they are stored as.</summary>
    public required double BitsPerWeight { get; init; }

    /// <summary>The same for the quantized linears alone.</summary>
    public required double LinearBitsPerWeight { get; init; }

    /// <summary>The figure of the method's paper for the quantized linears.</summary>
    public required double NominalBitsPerWeight { get; init; }

    /// <summary>Bytes of all tensors.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>Bytes of model.safetensors; the items add up to it.</summary>
    public required long FileBytes { get; init; }

    /// <summary>Weights of the model.</summary>
    public required long Parameters { get; init; }

    /// <summary>Where the bytes are.</summary>
    public required IReadOnlyList<ByteItem> Items { get; init; }

    /// <summary>The linears in the order of the forward pass.</summary>
    public required IReadOnlyList<LayerReport> Layers { get; init; }

    /// <summary>What <c>--target-bits</c> gave the linears; null where nothing was searched.</summary>
    public IReadOnlyList<AllocatedLayer>? Allocation { get; init; }

    /// <summary>Where the time went.</summary>
    public required IReadOnlyList<StageTime> Stages { get; init; }

    /// <summary>Wall-clock seconds of this run; layers of an earlier, interrupted one are not in it.</summary>
    public required double Seconds { get; init; }

    /// <summary>Seconds of processor time that all threads of the process took together, which tells more than the clock where other work goes on.</summary>
    public required double ProcessorSeconds { get; init; }

    /// <summary>Layers that an earlier, interrupted run had finished.</summary>
    public required int ResumedLayers { get; init; }

    /// <summary>Largest resident memory of the process.</summary>
    public required long PeakMemoryBytes { get; init; }

    /// <summary>Perplexity of the original on the beginning of the calibration text; null without calibration.</summary>
    public double? CalibrationPerplexityBefore { get; init; }

    /// <summary>The same of the quantized model. A sign of life, no measurement: the text was used.</summary>
    public double? CalibrationPerplexity { get; init; }

    /// <summary>What the calibration text reached; null without calibration.</summary>
    public Coverage? Coverage { get; init; }

    /// <summary>Sentences about where the error came from and what to do.</summary>
    public required IReadOnlyList<string> Diagnosis { get; init; }

    /// <summary>Sentences about what looks wrong; empty if nothing does.</summary>
    public required IReadOnlyList<string> Warnings { get; init; }
}

/// <summary>How far a run is.</summary>
/// <param name="Stage">What is being done, for example "block 3 of 30".</param>
/// <param name="Fraction">Share of the work that is done, 0 to 1.</param>
public readonly record struct QuantizeProgress(string Stage, double Fraction);
