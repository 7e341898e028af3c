using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Formats.Safetensors;
using Lowbit.Kernels;
using Xunit;

namespace Lowbit.Models.Tests;

/// <summary>What the tests of this project share: reading reference tensors, comparing logits, decoding greedily.</summary>
internal static class Golden
{
    public static int[] Integers(SafetensorsFile file, string name) => MemoryMarshal.Cast<byte, int>(file.Tensors[name].Span).ToArray();

    public static float[] Floats(SafetensorsFile file, string name) => MemoryMarshal.Cast<byte, float>(file.Tensors[name].Span).ToArray();

    /// <summary>Asks for a largest difference of at most 2e-4 of the range of the reference's logits.</summary>
    public static unsafe void CheckLogits(LanguageModel model, WorkerPool pool, int[] ids, int[] positions, float[] expected, int batch = 512)
    {
        int vocabulary = model.Config.VocabularySize;
        Assert.Equal(positions.Length * vocabulary, expected.Length);
        using Session session = new(model, pool, ids.Length, ActivationMode.Float, batch);
        float[] actual = new float[expected.Length];
        session.ForwardAll(ids, (first, logits, tokens) =>
        {
            for (int k = 0; k < positions.Length; k++)
            {
                int t = positions[k] - first;
                if (t < 0 || t >= tokens) continue;
                new ReadOnlySpan<float>(logits + (long)t * vocabulary, vocabulary).CopyTo(actual.AsSpan(k * vocabulary));
            }
        });
        float smallest = float.MaxValue, largest = float.MinValue, difference = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            smallest = Math.Min(smallest, expected[i]);
            largest = Math.Max(largest, expected[i]);
            difference = Math.Max(difference, Math.Abs(expected[i] - actual[i]));
        }
        Assert.True(difference <= 2e-4f * (largest - smallest), $"largest difference {difference}, range {largest - smallest}");
    }

    /// <summary>The most likely token, again and again; ends after a token of <paramref name="ends"/>.</summary>
    public static int[] Greedy(LanguageModel model, WorkerPool pool, int[] prompt, int tokens, ElementFormat cache = ElementFormat.F32, params ReadOnlySpan<int> ends)
    {
        using Session session = new(model, pool, Math.Min(model.Config.ContextLength, prompt.Length + tokens), ActivationMode.Float, cache: cache);
        float[] logits = new float[model.Config.VocabularySize];
        List<int> ids = [];
        ReadOnlySpan<int> next = prompt;
        while (ids.Count < tokens)
        {
            session.Forward(next, logits);
            int best = logits.AsSpan().IndexOf(MaxOf(logits));
            ids.Add(best);
            if (ends.Contains(best)) break;
            next = new int[] { best };
        }
        return [.. ids];
    }

    private static float MaxOf(float[] values)
    {
        float best = float.MinValue;
        foreach (float value in values) best = Math.Max(best, value);
        return best;
    }
}
