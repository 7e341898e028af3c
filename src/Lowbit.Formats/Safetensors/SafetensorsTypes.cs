using Lowbit.Core;

namespace Lowbit.Formats.Safetensors;

/// <summary>The names of element formats in safetensors headers.</summary>
internal static class SafetensorsTypes
{
    private static readonly ElementFormat[] s_formats =
    [
        ElementFormat.F32, ElementFormat.F16, ElementFormat.BF16, ElementFormat.F64, ElementFormat.Bool,
        ElementFormat.U8, ElementFormat.I8, ElementFormat.U16, ElementFormat.I16, ElementFormat.U32, ElementFormat.I32,
        ElementFormat.U64, ElementFormat.I64, ElementFormat.F8_E4M3, ElementFormat.F8_E5M2,
    ];

    internal static string? Name(ElementFormat format) =>
        System.Array.IndexOf(s_formats, format) < 0 ? null : format == ElementFormat.Bool ? "BOOL" : format.ToString();

    internal static ElementFormat? Find(string name)
    {
        foreach (ElementFormat format in s_formats)
        {
            if (Name(format) == name) return format;
        }
        return null;
    }

    internal static string All => string.Join(", ", System.Array.ConvertAll(s_formats, format => Name(format)!));
}
