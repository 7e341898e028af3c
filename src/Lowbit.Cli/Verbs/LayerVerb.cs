using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json.Serialization;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Safetensors;
using Lowbit.Kernels.Blocks;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;

namespace Lowbit.Cli.Verbs;

/// <summary>What a method made of one matrix.</summary>
internal sealed record LayerResult
{
    public required string Method { get; init; }
    public required int[] Shape { get; init; }

    /// <summary>‖X(W−Ŵ)ᵀ‖² / ‖XWᵀ‖²; null where the case has neither inputs nor a Hessian.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public required double? OutputError { get; init; }

    /// <summary>The figure of the method's paper, without scales.</summary>
    public required double NominalBitsPerWeight { get; init; }
    public required double Seconds { get; init; }

    /// <summary>Where the dequantized matrix is, if it was asked for.</summary>
    public string? Output { get; init; }
}

/// <summary>One method on one matrix.</summary>
internal static class LayerVerb
{
    private static readonly Argument<string> s_case = new("CASE")
    {
        Description = "A safetensors file with `weight` [out, in] and `inputs` [tokens, in] or `hessian` [in, in]; for gptaq also `float_inputs`.",
    };

    private static readonly Option<string?> s_output = OutputPath.Option("Write `dequantized` [out, in] to this safetensors file.", "FILE");

    public static Command Create() => new Verb(
        "layer",
        "Quantize one matrix.",
        "lowbit layer case.safetensors --method pb-gptq --salient 0.1 -o result.safetensors",
        Execute,
        [s_case, s_output, .. MethodArguments.All]);

    private static void Execute(Invocation invocation)
    {
        MethodOptions options = MethodArguments.Read(invocation);
        string path = invocation.Get(s_case);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        using var pool = new WorkerPool(invocation.Threads);
        Tensor weight = Matrix(file, "weight") ?? throw new LowbitFormatException(path, "there is no tensor `weight`; expected one of [out, in].");
        int rows = checked((int)weight.Rows), columns = checked((int)weight.Columns);
        using Hessian? hessian = ReadHessian(file, pool, columns);
        long start = Stopwatch.GetTimestamp();
        QuantizedMatrix quantized = options.Quantize(new LinearLayer(path, rows, columns, Floats(weight), hessian), pool, invocation.Cancellation);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        string? output = invocation.Get(s_output);
        if (output is not null) Write(output, quantized.Dequantized, rows, columns, invocation.Get(MethodArguments.Method));
        var result = new LayerResult
        {
            Method = invocation.Get(MethodArguments.Method),
            Shape = [rows, columns],
            OutputError = quantized.OutputError,
            NominalBitsPerWeight = quantized.NominalBitsPerWeight,
            Seconds = seconds,
            Output = output,
        };
        invocation.Terminal.Result(result, JsonReports.Default.LayerResult, Picture);
    }

    private static Hessian? ReadHessian(SafetensorsFile file, WorkerPool pool, int columns)
    {
        if (Matrix(file, "inputs") is { } inputs)
        {
            if (inputs.Columns != columns)
                throw new LowbitFormatException(file.Path, $"`inputs` has the shape {inputs.ShapeText}, but the weight takes {columns} inputs; expected [tokens, {columns}].");
            float[] floatInputs = Matrix(file, "float_inputs") is { } original ? Floats(original) : [];
            return Hessian.FromInputs(pool, file.Path, Floats(inputs), columns, checked((int)inputs.Rows), floatInputs);
        }
        return Matrix(file, "hessian") is { } hessian ? Hessian.FromMatrix(file.Path, Floats(hessian), columns) : null;
    }

    private static Tensor? Matrix(SafetensorsFile file, string name)
    {
        if (!file.Tensors.TryGetValue(name, out Tensor? tensor)) return null;
        if (tensor.Shape.Length != 2 || tensor.Elements is 0 or > int.MaxValue || !tensor.Format.IsReal())
            throw new LowbitFormatException(file.Path, $"`{name}` is {tensor.Format} {tensor.ShapeText}; expected a matrix of F32, F16, BF16 or F64.");
        return tensor;
    }

    private static unsafe float[] Floats(Tensor tensor)
    {
        float[] values = new float[tensor.Elements];
        fixed (float* destination = values) Dequantizer.ToFloat(tensor.Format, tensor.Pointer, tensor.Elements, destination);
        return values;
    }

    private static void Write(string path, float[] dequantized, int rows, int columns, string method)
    {
        using var writer = new SafetensorsWriter(path, [new TensorSpec("dequantized", ElementFormat.F32, [rows, columns])], new Dictionary<string, string> { ["method"] = method });
        writer.Write("dequantized", MemoryMarshal.AsBytes(dequantized.AsSpan()));
        writer.Commit();
    }

    private static void Picture(Terminal _, LayerResult result) => Terminal.Write(Terminal.Facts(
        ("method", result.Method),
        ("weight", $"[{result.Shape[0]}, {result.Shape[1]}]"),
        ("output error", result.OutputError is { } error ? Quantities.Significant(error, 6) : "unknown: the case has neither inputs nor a Hessian"),
        ("nominal bits per weight", Quantities.Significant(result.NominalBitsPerWeight, 3)),
        ("time", $"{Quantities.Significant(result.Seconds, 3)} s")));
}
