using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Safetensors;
using Lowbit.Models;
using Lowbit.Models.Architectures;
using Lowbit.Quantization.Pipeline;
using Lowbit.Training.Model;

namespace Lowbit.Training.Export;

/// <summary>Writes a trained model as a Hugging Face folder in floats; linears with a form as their products saw them, adapters merged.</summary>
public static unsafe class FloatFolder
{
    /// <summary>Writes the folder; it takes its name when it is whole.</summary>
    /// <param name="output">The folder to make; one that is there is replaced.</param>
    /// <param name="model">The model.</param>
    /// <param name="config">What <c>config.json</c> shall say.</param>
    /// <param name="tokenizer">Where the tokenizer is copied from, see <see cref="RequireTokenizer"/>.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="type">F32, or F16 for half the bytes.</param>
    /// <exception cref="LowbitException">A weight is too large for F16, or the folder cannot be written.</exception>
    public static void Write(string output, TrainableModel model, JsonObject config, string tokenizer, WorkerPool pool, ElementFormat type = ElementFormat.F32)
    {
        string work = output.TrimEnd(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar) + ".partial";
        try
        {
            if (Directory.Exists(work)) Directory.Delete(work, recursive: true);
            Directory.CreateDirectory(work);
            WriteTensors(Path.Combine(work, "model.safetensors"), model, pool, type);
            AtomicFile.WriteJson(Path.Combine(work, "config.json"), config);
            CopyTokenizer(work, tokenizer);
            if (Directory.Exists(output)) Directory.Delete(output, recursive: true);
            Directory.Move(work, output);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{output}: the model cannot be written: {e.Message.TrimEnd('.')}. Choose another place with -o.", e);
        }
        finally
        {
            if (Directory.Exists(work)) Directory.Delete(work, recursive: true);
        }
    }

    /// <summary>The configuration of a source model as it is written beside trained weights.</summary>
    /// <param name="source">The model that was trained.</param>
    public static JsonObject ConfigOf(LanguageModel source)
    {
        JsonObject config = source.Checkpoint.Config is { } json ? JsonObject.Create(json)! : ConfigWriter.ToJson(source.Config);
        config.Remove("quantization_config");
        return config;
    }

    /// <summary>Refuses what <see cref="Write"/> could not copy a tokenizer from.</summary>
    /// <param name="path">A model, a folder with the files of a tokenizer, or one of these files.</param>
    /// <exception cref="LowbitException">It is none of these.</exception>
    public static void RequireTokenizer(string path) => OpenModel(path)?.Dispose();

    private static void CopyTokenizer(string folder, string path)
    {
        using Checkpoint? checkpoint = OpenModel(path);
        LowbitFolder.CopyTokenizer(folder, path, checkpoint);
    }

    // The files of a tokenizer need not have weights beside them; then there is no model to open.
    private static Checkpoint? OpenModel(string path)
    {
        bool hasFiles = Directory.Exists(path)
            ? LowbitFolder.CopiedFiles.Any(name => File.Exists(Path.Combine(path, name)))
            : LowbitFolder.CopiedFiles.Contains(Path.GetFileName(path));
        return hasFiles ? null : Checkpoint.Open(path);
    }

    private static void WriteTensors(string path, TrainableModel model, WorkerPool pool, ElementFormat type)
    {
        Dictionary<Parameter, TrainableLinear> linears = model.Linears.ToDictionary(linear => linear.Weight);
        bool IsTransposed(Parameter parameter) => model.Config.LinearsTransposed && linears.ContainsKey(parameter);
        string Name(Parameter parameter)
        {
            string ending = Path.GetExtension(parameter.Name);
            return FolderNames.Of(model, parameter.Name[..^ending.Length]) + ending;
        }
        Parameter[] parameters = [.. model.Parameters, .. model.Linears.Where(linear => linear.Packed is not null).Select(linear => linear.Weight)];
        TensorSpec[] specs = [.. parameters.Select(parameter => new TensorSpec(Name(parameter), type,
            parameter.Shape.Length == 1 ? [parameter.Columns] : IsTransposed(parameter) ? [parameter.Columns, parameter.Rows] : [parameter.Rows, parameter.Columns]))];
        using SafetensorsWriter writer = new(path, specs, new Dictionary<string, string> { ["format"] = "pt", ["made_by"] = "lowbit" });
        for (int i = 0; i < specs.Length; i++)
        {
            Parameter parameter = parameters[i];
            using NativeBuffer merged = new(linears.TryGetValue(parameter, out TrainableLinear? linear) ? parameter.Count * sizeof(float) : 0);
            float* values = parameter.Value.Floats;
            linear?.CopyMerged(pool, values = merged.Floats);
            if (!IsTransposed(parameter))
            {
                if (type == ElementFormat.F16) WriteHalves(writer, specs[i].Name, new ReadOnlySpan<float>(values, checked((int)parameter.Count)));
                else writer.Write(specs[i].Name, (byte*)values, parameter.Count * sizeof(float));
                continue;
            }
            float[] column = new float[parameter.Rows];
            for (int c = 0; c < parameter.Columns; c++)
            {
                for (int r = 0; r < column.Length; r++) column[r] = values[(long)r * parameter.Columns + c];
                if (type == ElementFormat.F16) WriteHalves(writer, specs[i].Name, column);
                else writer.Write(specs[i].Name, MemoryMarshal.AsBytes(column.AsSpan()));
            }
        }
        writer.Commit();
    }

    private static void WriteHalves(SafetensorsWriter writer, string tensor, ReadOnlySpan<float> values)
    {
        var halves = new Half[values.Length];
        for (int i = 0; i < halves.Length; i++) halves[i] = (Half)values[i];
        if (halves.AsSpan().ContainsAnyExceptInRange(Half.MinValue, Half.MaxValue))
            throw new LowbitException($"{tensor}: a weight is larger than 65504, the largest number of F16; write the model in F32.");
        writer.Write(tensor, MemoryMarshal.AsBytes(halves.AsSpan()));
    }
}
