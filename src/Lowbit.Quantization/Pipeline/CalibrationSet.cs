using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Lowbit.Core;

namespace Lowbit.Quantization.Pipeline;

/// <summary>Which windows of the calibration text are taken.</summary>
public enum CalibrationSampling
{
    /// <summary>Windows at random places, as the GPTQ code draws them.</summary>
    Random,
    /// <summary>The first windows, one after the other without overlap.</summary>
    Sequential,
}

/// <summary>The token windows that calibration runs through the model.</summary>
/// <param name="Windows">Windows of equal length.</param>
public sealed record CalibrationSet(IReadOnlyList<int[]> Windows)
{
    /// <summary>Samples where no number is asked for, as in the PB-LLM and GPTQ code.</summary>
    public const int DefaultSamples = 128;

    /// <summary>Tokens of a window.</summary>
    public int Context => Windows[0].Length;

    /// <summary>SHA-256 of all ids, to recognise the same data after an interruption.</summary>
    public string Fingerprint
    {
        get
        {
            using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            foreach (int[] window in Windows) hash.AppendData(MemoryMarshal.AsBytes(window.AsSpan()));
            return Convert.ToHexString(hash.GetHashAndReset());
        }
    }

    /// <summary>Draws windows from tokenized documents.</summary>
    /// <param name="documents">Token ids, document by document; a plain text file is one document.</param>
    /// <param name="context">Tokens of a window.</param>
    /// <param name="samples">Windows; null for <see cref="DefaultSamples"/>, or as many as there are where sequential ones run out.</param>
    /// <param name="sampling">Which windows.</param>
    /// <param name="seed">Seed of the random places; the same seed gives the same windows on every machine.</param>
    /// <exception cref="LowbitException">The text is too short.</exception>
    public static CalibrationSet Draw(IReadOnlyList<int[]> documents, int context, int? samples, CalibrationSampling sampling, int seed)
    {
        List<int[]> windows = sampling == CalibrationSampling.Random
            ? Random(documents, context, samples ?? DefaultSamples, seed)
            : Sequential(documents, context, samples ?? DefaultSamples);
        if (windows.Count == 0)
        {
            long tokens = 0;
            foreach (int[] document in documents) tokens += document.Length;
            throw new LowbitException($"--calibration: the text has {tokens} tokens and no passage of {context}, so there is no window to calibrate with; give more text or a smaller --context.");
        }
        if (samples is { } asked && windows.Count < asked)
            throw new LowbitException($"--samples {asked}: the calibration text has only {windows.Count} windows of {context} tokens that do not overlap; ask for at most that many, take a smaller --context, or use --sampling random.");
        return new CalibrationSet(windows);
    }

    private static List<int[]> Sequential(IReadOnlyList<int[]> documents, int context, int samples)
    {
        List<int[]> windows = [];
        foreach (int[] document in documents)
        {
            for (int start = 0; start + context <= document.Length && windows.Count < samples; start += context)
                windows.Add(document[start..(start + context)]);
        }
        return windows;
    }

    // A document is drawn first, then a place in it, so that short documents count as much as long ones (as for C4 in the GPTQ code).
    private static List<int[]> Random(IReadOnlyList<int[]> documents, int context, int samples, int seed)
    {
        List<int[]> longEnough = [];
        foreach (int[] document in documents)
        {
            if (document.Length >= context) longEnough.Add(document);
        }
        if (longEnough.Count == 0) return [];
        List<int[]> windows = [];
        SplitMix64 random = new((ulong)seed);
        for (int i = 0; i < samples; i++)
        {
            int[] document = longEnough[random.Below(longEnough.Count)];
            int start = random.Below(document.Length - context + 1);
            windows.Add(document[start..(start + context)]);
        }
        return windows;
    }
}
