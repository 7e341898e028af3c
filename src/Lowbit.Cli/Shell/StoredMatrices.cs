using System.Collections.Generic;
using System.Text.Json;
using Lowbit.Cli.Verbs;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Models;

namespace Lowbit.Cli.Shell;

/// <summary>
/// The tensors of a checkpoint as its model sees them: a matrix that Lowbit packed lies in the file as several tensors,
/// which <c>quantization_config.tensors</c> declares, and is shown as one.
/// </summary>
internal static class StoredMatrices
{
    public static IEnumerable<TensorReport> Of(Checkpoint checkpoint)
    {
        IReadOnlyDictionary<string, PackedTensor> packed = PackedTensor.ReadAll(checkpoint);
        var bytes = new Dictionary<string, long>();
        foreach (Tensor tensor in checkpoint.Tensors.Values)
        {
            string? matrix = Owner(tensor.Name, packed);
            if (matrix is null)
            {
                string format = checkpoint.Gguf?.TypeNames.GetValueOrDefault(tensor.Name) ?? tensor.Format.ToString();
                yield return new TensorReport(tensor.Name, [.. tensor.Shape], format, tensor.Bytes);
            }
            else
            {
                bytes[matrix] = bytes.GetValueOrDefault(matrix) + tensor.Bytes;
            }
        }
        foreach ((string name, long size) in bytes)
        {
            PackedTensor matrix = packed[name];
            yield return new TensorReport(name, [matrix.Rows, matrix.Columns], matrix.Format, size);
        }
    }

    /// <summary>What the files call the model's family.</summary>
    public static string Architecture(Checkpoint checkpoint) =>
        checkpoint.Gguf?.GetString("general.architecture", "unknown")
        ?? (checkpoint.Config is { } config && config.TryGetProperty("model_type", out JsonElement type) && type.ValueKind == JsonValueKind.String ? type.GetString()! : null)
        ?? (checkpoint.Kind == CheckpointKind.Llama2C ? "llama" : "unknown");

    // model.layers.0.mlp.up_proj.signs belongs to model.layers.0.mlp.up_proj if that is declared, and so do parts of its terms.
    private static string? Owner(string tensor, IReadOnlyDictionary<string, PackedTensor> packed)
    {
        for (int dot = tensor.LastIndexOf('.'); dot > 0; dot = tensor.LastIndexOf('.', dot - 1))
        {
            if (packed.ContainsKey(tensor[..dot])) return tensor[..dot];
        }
        return null;
    }
}
