using System;
using System.Collections.Generic;
using System.IO;
using Lowbit.Core;
using Lowbit.Formats.Gguf;
using Lowbit.Formats.Llama2C;
using Lowbit.Formats.Safetensors;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

/// <summary>Damaged files either open, with all their bytes readable, or are refused: no other exception, no crash, no large allocation.</summary>
public sealed class MutationTests : IDisposable
{
    private const int Damaged = 3000;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Safetensors()
    {
        byte[] valid = SafetensorsBytes.Of("""
            {"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"U8","shape":[5],"data_offsets":[24,29]}}
            """, new byte[29]);
        Try(valid, seed: 1, path =>
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            ReadAll(file.Tensors);
        });
    }

    [Fact]
    public void Gguf()
    {
        byte[] valid = new GgufBuilder().Add("name", "x").Add("general.alignment", 32u).Add("list", new[] { "a", "bc" }).Add("n", new[] { 1, 2 })
            .Add("deep", new object[] { new[] { true } }).Tensor("w", 0, [2, 3], new byte[24]).Tensor("q", 2, [2, 32], new byte[36]).Build();
        Try(valid, seed: 1, path =>
        {
            using GgufFile file = GgufFile.Open(path);
            ReadAll(file.Tensors);
            foreach (GgufValue value in file.Metadata.Values) ReadAll(value);
        });
    }

    [Fact]
    public void Llama2C() => Try(Llama2CBytes.Of(4, 2, 1, 2, 1, -3, 2), seed: 2, path =>
    {
        using Llama2CFile file = Llama2CFile.Open(path);
        ReadAll(file.Tensors);
    });

    [Fact]
    public void ShardIndex()
    {
        _folder.Write("s1", SafetensorsBytes.Of("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}""", 1, 2));
        byte[] valid = """{"metadata":{"total_size":2},"weight_map":{"a":"s1"}}"""u8.ToArray();
        Try(valid, seed: 3, path =>
        {
            using ShardedSafetensors file = ShardedSafetensors.Open(path);
            ReadAll(file.Tensors);
        });
    }

    private void Try(byte[] valid, int seed, Action<string> open)
    {
        open(_folder.Write("valid", valid));
        int accepted = 0, refused = 0;
        foreach (byte[] bytes in Mutations.Of(valid, seed, Damaged))
        {
            // A new file each time: some file systems flush to disk when a file is overwritten, which is slow.
            string path = _folder.Write($"damaged-{accepted + refused}", bytes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                open(path);
                accepted++;
            }
            catch (LowbitException)
            {
                refused++;
            }
            File.Delete(path);
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(allocated < 1_000_000, $"{allocated} bytes for a file of {bytes.Length}");
        }
        // Both ways out must have been taken, or the damages are not what they should be.
        Assert.True(accepted > 20 && refused > Damaged / 4, $"{accepted} accepted, {refused} refused");
    }

    private static unsafe void ReadAll(IReadOnlyDictionary<string, Tensor> tensors)
    {
        foreach (Tensor tensor in tensors.Values)
        {
            Assert.True(tensor.Elements >= 0);
            long sum = 0;
            for (long i = 0; i < tensor.Bytes; i++) sum += tensor.Pointer[i];
            Assert.True(sum >= 0);
        }
    }

    private static void ReadAll(GgufValue value)
    {
        if (value.Type == GgufType.Array) foreach (GgufValue element in value.AsValues()) ReadAll(element);
        else if (value.Type == GgufType.String) value.AsString();
        else if (value.Type == GgufType.Bool) Refusable(() => value.AsBool());
        else value.AsFloat();
    }

    private static void Refusable(Func<object> read)
    {
        try { read(); }
        catch (LowbitFormatException) { }
    }
}
