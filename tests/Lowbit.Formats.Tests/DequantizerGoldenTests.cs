using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Formats.Safetensors;
using Lowbit.Kernels.Blocks;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

/// <summary>Bytes that ggml wrote, floats that gguf-py made of them: equal to the last bit.</summary>
public sealed unsafe class DequantizerGoldenTests
{
    private static readonly string[] s_formats =
    [
        "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "TQ1_0", "TQ2_0", "MXFP4",
    ];

    public static TheoryData<string> Cases => [.. s_formats, .. s_formats.Except(["F32", "F16", "BF16"]).Select(name => $"{name}.importance")];

    [SharedTheory]
    [MemberData(nameof(Cases))]
    public void GivesTheBitsOfGgml(string name)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Shared.Path("golden", "gguf", "blocks.safetensors"));
        Tensor bytes = file.Tensors[$"{name}.bytes"], expected = file.Tensors[$"{name}.expected"];
        ElementFormat format = Enum.Parse<ElementFormat>(name.Split('.')[0]);
        Assert.True(Dequantizer.Supports(format));
        Assert.Equal(format.ByteCount(expected.Elements), bytes.Bytes);
        Assert.Equal(Bits(expected.Pointer, expected.Elements), Dequantized(Dequantizer.ToFloatScalar, format, bytes, expected.Elements));
        Assert.Equal(Bits(expected.Pointer, expected.Elements), Dequantized(Dequantizer.ToFloat, format, bytes, expected.Elements));
    }

    private delegate void ToFloat(ElementFormat format, byte* source, long elements, float* destination);

    private static uint[] Dequantized(ToFloat toFloat, ElementFormat format, Tensor bytes, long elements)
    {
        using NativeBuffer buffer = new(elements * sizeof(float));
        toFloat(format, bytes.Pointer, elements, buffer.Floats);
        return Bits(buffer.Pointer, elements);
    }

    private static uint[] Bits(byte* pointer, long elements) => new ReadOnlySpan<uint>(pointer, (int)elements).ToArray();
}
