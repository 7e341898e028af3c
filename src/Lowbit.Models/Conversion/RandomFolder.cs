using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using System.Threading;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Gguf;
using Lowbit.Formats.Safetensors;
using Lowbit.Kernels;
using Lowbit.Models.Architectures;

namespace Lowbit.Models.Conversion;

/// <summary>
/// Folders of random weights in our own packed layouts. Embedding and output projection are those of a Q4_0 file, so that such a
/// model differs from it in the blocks alone.
/// </summary>
internal static class RandomFolder
{
    private const string PlainType = "Q4_0";

    /// <summary>Writes the folder; it takes its name when it is whole.</summary>
    /// <param name="path">The folder to make; one that is there is replaced.</param>
    /// <param name="shape">Name of a shape.</param>
    /// <param name="type">A type that <see cref="RandomCodes"/> knows.</param>
    /// <param name="seed">Decides the weights.</param>
    /// <param name="cancellation">Leaves nothing behind.</param>
    /// <returns>Bits per weight over all tensors.</returns>
    public static double Write(string path, string shape, string type, ulong seed, CancellationToken cancellation)
    {
        ModelConfig config = RandomShape.Find(shape) with { Names = TensorNames.Llama };
        string work = path.TrimEnd(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar) + ".partial";
        try
        {
            Directory.CreateDirectory(work);
            JsonObject declared = [];
            double bits = WriteTensors(Path.Combine(work, "model.safetensors"), config, type, seed, declared, cancellation);
            WriteConfig(Path.Combine(work, "config.json"), config, type, declared);
            GgufMetadata vocabulary = GgufDescription.Of("llama", shape, config);
            PlainVocabulary.Describe(vocabulary, config.VocabularySize);
            using (GgufWriter writer = new(Path.Combine(work, "tokenizer.gguf"), vocabulary, [])) writer.Commit();
            if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
            Directory.Move(work, path);
            return bits;
        }
        finally
        {
            if (Directory.Exists(work)) Directory.Delete(work, recursive: true);
        }
    }

    private static double WriteTensors(string path, ModelConfig config, string type, ulong seed, JsonObject declared, CancellationToken cancellation)
    {
        ModelTensor[] tensors = [.. ModelTensor.All(config, TensorNames.Llama)];
        Dictionary<(int, int), PackedMatrix> samples = []; // all matrices of a shape have parts of the same sizes, or are the same
        List<TensorSpec> specs = [];
        SplitMix64 random = new(seed);
        foreach (ModelTensor tensor in tensors)
        {
            if (tensor.Role == TensorRole.Norm)
            {
                specs.Add(new TensorSpec(tensor.Name + ".weight", ElementFormat.F32, [tensor.Columns]));
            }
            else if (!IsLinear(tensor))
            {
                ElementFormat format = TypeMixture.Choose(PlainType, tensor, config);
                declared[tensor.Name] = new JsonObject { ["format"] = format.ToString(), ["rows"] = tensor.Rows, ["columns"] = tensor.Columns };
                specs.Add(new TensorSpec(tensor.Name + ".blocks", ElementFormat.U8, [tensor.Rows, format.ByteCount(tensor.Columns)]));
            }
            else
            {
                if (!samples.TryGetValue((tensor.Rows, tensor.Columns), out PackedMatrix? sample))
                    samples.Add((tensor.Rows, tensor.Columns), sample = RandomCodes.Pack(type, tensor.Rows, tensor.Columns, ref random));
                declared[tensor.Name] = sample.Declaration.DeepClone();
                specs.AddRange(sample.Parts.Select(part => new TensorSpec($"{tensor.Name}.{part.Suffix}", part.Format, part.Shape)));
            }
        }
        using SafetensorsWriter writer = new(path, specs, new Dictionary<string, string> { ["format"] = "pt", ["made_by"] = "lowbit" });
        foreach (ModelTensor tensor in tensors)
        {
            cancellation.ThrowIfCancellationRequested();
            if (IsLinear(tensor))
            {
                // Coded ones are the same for all blocks, as only then their sizes are known before.
                PackedMatrix packed = RandomCodes.IsCoded(type) ? samples[(tensor.Rows, tensor.Columns)] : RandomCodes.Pack(type, tensor.Rows, tensor.Columns, ref random);
                foreach (PackedPart part in packed.Parts) writer.Write($"{tensor.Name}.{part.Suffix}", part.Bytes);
                continue;
            }
            if (tensor.Role == TensorRole.Norm)
            {
                float[] ones = new float[tensor.Columns];
                Array.Fill(ones, 1);
                writer.Write(tensor.Name + ".weight", MemoryMarshal.AsBytes(ones.AsSpan()));
                continue;
            }
            ElementFormat format = TypeMixture.Choose(PlainType, tensor, config);
            byte[] row = new byte[format.ByteCount(tensor.Columns)];
            for (int r = 0; r < tensor.Rows; r++)
            {
                RandomBlocks.Fill(format, tensor.Columns, ref random, row);
                writer.Write(tensor.Name + ".blocks", row);
            }
        }
        writer.Commit();
        return 8.0 * specs.Sum(spec => spec.Bytes) / tensors.Sum(tensor => (long)tensor.Rows * tensor.Columns);
    }

    private static void WriteConfig(string path, ModelConfig config, string type, JsonObject declared)
    {
        JsonObject json = ConfigWriter.ToJson(config);
        json["quantization_config"] = new JsonObject
        {
            ["quant_method"] = "lowbit",
            ["version"] = 1,
            ["method"] = "random",
            ["options"] = type,
            ["tensors"] = declared,
        };
        AtomicFile.WriteJson(path, json);
    }

    private static bool IsLinear(ModelTensor tensor) => tensor.Role is not (TensorRole.Norm or TensorRole.Embedding or TensorRole.Head);
}
