using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Encodings.Web;
using System.Text.Json;
using Lowbit.Core;

namespace Lowbit.Formats.Safetensors;

/// <summary>Writes a safetensors file.</summary>
/// <remarks>Tensors lie without gaps in the order given; whoever wants aligned floats gives the widest elements first.</remarks>
/// <param name="path">The name that the file shall have in the end.</param>
/// <param name="tensors">All tensors, in the order in which their bytes will come.</param>
/// <param name="metadata">Texts for <c>__metadata__</c>.</param>
/// <exception cref="LowbitException">The file cannot be written, or a format, name or shape has no place in safetensors.</exception>
public sealed class SafetensorsWriter(string path, IReadOnlyList<TensorSpec> tensors, IReadOnlyDictionary<string, string> metadata)
    : TensorWriter(path, Head(path, tensors, metadata), [.. tensors.Select(tensor => (tensor.Name, tensor.Bytes))], alignment: 1)
{
    // The length of the header and the header, padded with blanks so that the data begin at a multiple of 8.
    private static byte[] Head(string path, IReadOnlyList<TensorSpec> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        using MemoryStream stream = new();
        stream.Write(new byte[sizeof(long)]);
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (metadata.Count > 0)
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }
            HashSet<string> names = ["__metadata__"];
            long offset = 0;
            foreach (TensorSpec tensor in tensors)
            {
                if (!names.Add(tensor.Name)) throw new LowbitException($"{path}: the tensor name '{tensor.Name}' is taken; names must differ.");
                string type = SafetensorsTypes.Name(tensor.Format) ?? throw new LowbitException(
                    $"{path}: tensor {tensor.Name} has the format {tensor.Format}, which safetensors does not know; write it as U8 bytes or choose GGUF.");
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", type);
                json.WriteStartArray("shape");
                foreach (long dimension in tensor.Shape) json.WriteNumberValue(dimension);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset = checked(offset + tensor.Bytes));
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (stream.Length % 8 != 0) stream.WriteByte((byte)' ');
        byte[] head = stream.ToArray();
        int length = head.Length - sizeof(long);
        if (length > SafetensorsHeader.MaximumBytes)
            throw new LowbitException($"{path}: the header would have {length} bytes, more than the {SafetensorsHeader.MaximumBytes} that readers accept; write several files.");
        BinaryPrimitives.WriteInt64LittleEndian(head, length);
        return head;
    }
}
