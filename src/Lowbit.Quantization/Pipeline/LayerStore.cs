using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text.Json;
using System.Text.Json.Serialization;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Safetensors;
using Lowbit.Kernels;

namespace Lowbit.Quantization.Pipeline;

/// <summary>
/// The finished layers of a run, each in a file of its own in a work folder beside the output, so that an interruption
/// loses at most one layer. A fingerprint of model, data and options guards the folder: only the same run continues it.
/// </summary>
internal sealed class LayerStore
{
    /// <summary>Opens the work folder of an interrupted run or begins a new one.</summary>
    /// <param name="output">The folder that the run shall make.</param>
    /// <param name="fingerprint">What identifies model, data and options.</param>
    /// <param name="force">Throw away the work folder of another run instead of refusing.</param>
    public LayerStore(string output, string fingerprint, bool force)
    {
        Folder = output.TrimEnd(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar) + ".partial";
        Layers = Path.Combine(Folder, "layers");
        string guard = Path.Combine(Folder, "fingerprint");
        try
        {
            if (Directory.Exists(Folder))
            {
                bool same = File.Exists(guard) && File.ReadAllText(guard) == fingerprint;
                if (!same && !force)
                    throw new LowbitException($"{Folder} holds the finished layers of an interrupted run with another model, other calibration data or other options; repeat that command to finish it, delete the folder, or start anew with --force.");
                if (!same) Directory.Delete(Folder, recursive: true);
            }
            Directory.CreateDirectory(Layers);
            if (File.Exists(guard)) return;
            using AtomicFile file = new(guard);
            file.Stream.Write(System.Text.Encoding.UTF8.GetBytes(fingerprint));
            file.Commit();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{output}: the folder cannot be written: {e.Message.TrimEnd('.')}. Choose another place with -o.", e);
        }
    }

    /// <summary>The work folder; the result is put together in it.</summary>
    public string Folder { get; }

    /// <summary>The folder within it of what the result does not hold; it is gone in the end.</summary>
    public string Layers { get; }

    /// <summary>Whether the layer is finished.</summary>
    public bool Has(string layer) => File.Exists(PathOf(layer));

    /// <summary>Makes a finished layer durable.</summary>
    public void Save(string layer, PackedLayer packed, int deadInputs)
    {
        List<TensorSpec> specs = [];
        foreach (PackedPart part in packed.Parts) specs.Add(new TensorSpec($"{layer}.{part.Suffix}", part.Format, part.Shape));
        Dictionary<string, string> metadata = new()
        {
            ["layout"] = packed.Layout.ToJsonString(),
            ["output_error"] = packed.OutputError.ToString("R", CultureInfo.InvariantCulture),
            ["nominal_bits"] = packed.NominalBits.ToString("R", CultureInfo.InvariantCulture),
            ["dead_inputs"] = deadInputs.ToString(CultureInfo.InvariantCulture),
        };
        using SafetensorsWriter writer = new(PathOf(layer), specs, metadata);
        foreach (PackedPart part in packed.Parts) writer.Write($"{layer}.{part.Suffix}", part.Bytes);
        writer.Commit();
    }

    /// <summary>Maps a finished layer.</summary>
    public SafetensorsFile Open(string layer) => SafetensorsFile.Open(PathOf(layer));

    /// <summary>What a search has measured of a block, or null.</summary>
    public IReadOnlyList<LinearSensitivity>? Sensitivities(int block)
    {
        string path = SensitivitiesOf(block);
        return File.Exists(path) ? JsonSerializer.Deserialize(File.ReadAllBytes(path), MeasuredBits.Default.ListLinearSensitivity) : null;
    }

    /// <summary>Makes durable what a search has measured of a block.</summary>
    public void Save(int block, List<LinearSensitivity> linears)
    {
        using AtomicFile file = new(SensitivitiesOf(block));
        file.Write(JsonSerializer.SerializeToUtf8Bytes(linears, MeasuredBits.Default.ListLinearSensitivity));
        file.Commit();
    }

    /// <summary>The error that was measured when the layer was quantized.</summary>
    public static double OutputError(SafetensorsFile file) => Number(file, "output_error");

    /// <summary>Inputs that were zero in the whole calibration text.</summary>
    public static int DeadInputs(SafetensorsFile file) => Number(file, "dead_inputs") is > 0 and double dead ? (int)dead : 0;

    /// <summary>The figure of the method's paper.</summary>
    public static double NominalBits(SafetensorsFile file) => Number(file, "nominal_bits");

    /// <summary>Gives the finished folder its name; the layers' own files are no longer needed.</summary>
    /// <param name="output">The folder that the run shall make.</param>
    public void Finish(string output)
    {
        try
        {
            Directory.Delete(Layers, recursive: true);
            File.Delete(Path.Combine(Folder, "fingerprint"));
            if (Directory.Exists(output))
            {
                string old = output.TrimEnd(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar) + ".old";
                if (Directory.Exists(old)) Directory.Delete(old, recursive: true);
                Directory.Move(output, old);
                Directory.Move(Folder, output);
                Directory.Delete(old, recursive: true);
            }
            else
            {
                Directory.Move(Folder, output);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{output}: the finished model in {Folder} could not be given its name: {e.Message}", e);
        }
    }

    private static double Number(SafetensorsFile file, string key) =>
        file.Metadata.TryGetValue(key, out string? text) && double.TryParse(text, CultureInfo.InvariantCulture, out double number) ? number : double.NaN;

    private string SensitivitiesOf(int block) => Path.Combine(Layers, FormattableString.Invariant($"block-{block}.json"));

    private string PathOf(string layer) => Path.Combine(Layers, layer + ".safetensors");
}

// Serialized by generated code, which a program compiled ahead of time needs.
[JsonSerializable(typeof(List<LinearSensitivity>))]
internal sealed partial class MeasuredBits : JsonSerializerContext;
