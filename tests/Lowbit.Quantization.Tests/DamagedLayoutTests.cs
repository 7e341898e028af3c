using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json.Nodes;
using System.Threading;
using Lowbit.Core;
using Lowbit.Formats.Safetensors;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Quantization.Tests;

/// <summary>Folders of every packed layout, damaged: they compute something or are refused with a sentence, and nothing else happens.</summary>
public sealed class DamagedLayoutTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(1);

    public void Dispose()
    {
        _folder.Dispose();
        _pool.Dispose();
    }

    [Theory]
    [InlineData("pb-rtn", "")]                                     // partially binarized
    [InlineData("gptq", "bits=3,activation-order=")]               // uniform, reordered
    [InlineData("spqr", "outlier-threshold=1000000")]             // uniform, nested scales
    [InlineData("nf4", "double-quantization=")]                    // table
    [InlineData("billm", "")]                                      // codebooks, two classes of columns
    [InlineData("mxfp6", "")]                                      // floats
    [InlineData("nvfp4", "")]                                      // floats with two levels of scales
    [InlineData("llm-int8", "outlier-threshold=0.5")]              // composite: selected columns
    [InlineData("squeezellm", "bits=3,outliers=0.02")]             // composite: sparse
    [InlineData("rtn", "bits=2,repair-rank=4")]                    // composite: low rank
    [InlineData("waterline", "bits=3")]                            // composite: scaled, integers
    [InlineData("hbllm-row", "")]                                  // composite: Haar
    public void ComputesOrIsRefused(string method, string settings)
    {
        string source = _folder.File("source"), output = _folder.File("out");
        TinyLlama.Write(source);
        Dictionary<string, string> values = settings.Split(',', StringSplitOptions.RemoveEmptyEntries).ToDictionary(setting => setting.Split('=')[0], setting => setting.Split('=')[1]);
        QuantizeOptions options = new() { Method = method, MethodOptions = MethodRegistry.Find(method).Options(values), Output = output };
        using (LanguageModel model = LanguageModel.Open(source))
            QuantizePipeline.Run(options, model, CalibrationSet.Draw([TinyLlama.Ids(400)], context: 32, samples: 2, CalibrationSampling.Sequential, seed: 0), _pool, null, CancellationToken.None);
        Assert.True(Computes(output));

        int refused = 0, tried = 0;
        foreach (Action<bool> damage in Bytes(Path.Combine(output, "model.safetensors")).Concat(Numbers(Path.Combine(output, "config.json"))))
        {
            damage(true);
            tried++;
            if (!Computes(output)) refused++;
            damage(false);
        }
        Assert.True(refused > tried / 10, $"{refused} of {tried} refused");
    }

    // A part of a matrix with ones, with zeros, and with a few bits turned over.
    private static IEnumerable<Action<bool>> Bytes(string path)
    {
        byte[] valid = File.ReadAllBytes(path);
        List<(long Start, int Length)> parts = [];
        using (SafetensorsFile file = SafetensorsFile.Open(path))
        {
            foreach (Tensor tensor in file.Tensors.Values.Where(tensor => tensor.Name.Contains("0.self_attn.q_proj", StringComparison.Ordinal) || tensor.Name.Contains("1.mlp.down_proj", StringComparison.Ordinal)))
                parts.Add((OffsetOf(file, tensor, valid.Length), (int)tensor.Bytes));
        }
        Random random = new(1);
        foreach ((long start, int length) in parts.Where(part => part.Length > 0))
        {
            for (int kind = 0; kind < 4; kind++)
            {
                byte[] damaged = [.. valid];
                Span<byte> part = damaged.AsSpan((int)start, length);
                if (kind == 0) part.Fill(0xFF);
                else if (kind == 1) part.Clear();
                else if (kind == 2) random.NextBytes(part);
                else for (int i = 0; i < 3; i++) part[random.Next(length)] ^= (byte)(1 << random.Next(8));
                yield return on => File.WriteAllBytes(path, on ? damaged : valid);
            }
        }
        for (int cut = 1; cut <= 64; cut *= 4)
        {
            byte[] damaged = valid[..^cut];
            yield return on => File.WriteAllBytes(path, on ? damaged : valid);
        }
    }

    private static unsafe long OffsetOf(SafetensorsFile file, Tensor tensor, long fileBytes)
    {
        // The last tensor of the data ends with the file.
        byte* end = (byte*)file.Tensors.Values.Max(other => (nuint)(other.Pointer + other.Bytes));
        return fileBytes - (end - tensor.Pointer);
    }

    // Every number and word of a declaration replaced by others.
    private static IEnumerable<Action<bool>> Numbers(string path)
    {
        string valid = File.ReadAllText(path);
        string[] wrong = ["0", "-1", "3", "65", "2147483647", "0.5", "\"haar\"", "null"];
        JsonObject root = JsonNode.Parse(valid)!.AsObject();
        JsonObject tensors = root["quantization_config"]!["tensors"]!.AsObject();
        foreach (string name in tensors.Select(entry => entry.Key).Where(name => name.Contains("0.self_attn.q_proj", StringComparison.Ordinal)).ToArray())
        {
            foreach (JsonObject entry in Objects(tensors[name]!.AsObject()).ToArray())
            {
                foreach (string key in entry.Select(pair => pair.Key).ToArray())
                {
                    JsonNode? right = entry[key];
                    foreach (string value in wrong)
                    {
                        entry[key] = JsonNode.Parse(value);
                        string damaged = root.ToJsonString();
                        yield return on => File.WriteAllText(path, on ? damaged : valid);
                    }
                    entry[key] = right?.DeepClone();
                }
            }
        }
    }

    private static IEnumerable<JsonObject> Objects(JsonObject entry)
    {
        yield return entry;
        if (entry["terms"] is not JsonArray terms) yield break;
        foreach (JsonNode? term in terms) yield return term!.AsObject();
    }

    private bool Computes(string path)
    {
        try
        {
            using LanguageModel model = LanguageModel.Open(path);
            float[] logits = new float[TinyLlama.Vocabulary];
            foreach (ActivationMode mode in (ActivationMode[])[ActivationMode.Float, ActivationMode.EightBit])
            {
                using Session session = new(model, _pool, 32, mode);
                session.Forward(TinyLlama.Ids(20), logits);
                session.Forward([1], logits);
            }
            return true;
        }
        catch (LowbitException)
        {
            return false;
        }
    }
}
