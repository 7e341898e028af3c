using System;
using System.Linq;
using System.Security.Cryptography;
using System.Text;
using Lowbit.Core;
using Lowbit.Formats;

namespace Lowbit.Quantization.Pipeline;

/// <summary>Recognises the same run: model, calibration data and options. Reads a sample of every tensor, so that it is quick for models of any size.</summary>
internal static unsafe class Fingerprint
{
    private const int SampleBytes = 4096;

    // Grows when the same options come to mean other bytes.
    private const int Version = 1;

    public static string Of(Checkpoint checkpoint, CalibrationSet? calibration, QuantizeOptions options)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        void Add(string text) => hash.AppendData(Encoding.UTF8.GetBytes(text + "\n"));
        Add($"lowbit {Version}");
        Add(options.ToString());
        Add(calibration?.Fingerprint ?? "no calibration");
        foreach (Tensor tensor in checkpoint.Tensors.Values.OrderBy(tensor => tensor.Name, StringComparer.Ordinal))
        {
            Add(tensor.ToString());
            foreach (long offset in (ReadOnlySpan<long>)[0, Math.Max(0, tensor.Bytes / 2), Math.Max(0, tensor.Bytes - SampleBytes)])
                hash.AppendData(new ReadOnlySpan<byte>(tensor.Pointer + offset, (int)Math.Min(SampleBytes, tensor.Bytes - offset)));
        }
        return Convert.ToHexString(hash.GetHashAndReset());
    }
}
