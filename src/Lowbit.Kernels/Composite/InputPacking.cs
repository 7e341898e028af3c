using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Lowbit.Core;

namespace Lowbit.Kernels.Composite;

/// <summary>Packs what is done to the inputs of a term; see docs/formats/composite.md.</summary>
public static unsafe class InputPacking
{
    /// <summary>[features] factors of the inputs that a term takes.</summary>
    public const string Factors = "i_factors";

    /// <summary>[features] columns that a term takes, rising.</summary>
    public const string Columns = "i_columns";

    /// <summary>All parts that a transform may have.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Factors, Columns];

    /// <summary>Name of a transform in the declaration.</summary>
    public static string Kind(InputTransform input) => input switch
    {
        WholeInput => "whole",
        ScaledInput => "scaled",
        SelectedInput => "selected",
        SelectedScaledInput => "selected-scaled",
        HaarInput => "haar",
        _ => throw new ArgumentException($"{input.GetType().Name} has no packed form", nameof(input)),
    };

    /// <summary>Packs the numbers of a transform.</summary>
    /// <param name="input">The transform.</param>
    /// <param name="columns">Features that it takes.</param>
    /// <exception cref="LowbitException">Half precision does not hold a factor exactly, or columns are out of order.</exception>
    public static ImmutableArray<PackedPart> Pack(InputTransform input, int columns)
    {
        float[]? factors = (input as ScaledInput)?.Factors ?? (input as SelectedScaledInput)?.Factors;
        int[]? selected = (input as SelectedInput)?.Columns ?? (input as SelectedScaledInput)?.Columns;
        int features = selected?.Length ?? columns;
        if (factors is not null && factors.Length != features) throw new LowbitException($"the matrix to pack: {factors.Length} factors for {features} columns; the method that made it is at fault.");
        if (selected is not null && Fault(selected, columns) is { } fault) throw new LowbitException($"the matrix to pack: {fault}; the method that made it is at fault.");
        ImmutableArray<PackedPart>.Builder parts = ImmutableArray.CreateBuilder<PackedPart>();
        if (factors is not null) parts.Add(HalfPart.Of(Factors, factors, [features]));
        if (selected is not null) parts.Add(new PackedPart(Columns, ElementFormat.U32, [features], MemoryMarshal.AsBytes<int>(selected).ToArray()));
        return parts.ToImmutable();
    }

    /// <summary>Whether a term takes some of the inputs only.</summary>
    /// <param name="kind">What the declaration says.</param>
    public static bool Selects(string kind) => kind is "selected" or "selected-scaled";

    /// <summary>Takes and checks the numbers of a transform.</summary>
    /// <param name="name">Name of the term, for messages.</param>
    /// <param name="kind">What the declaration says.</param>
    /// <param name="columns">Features that it takes.</param>
    /// <param name="features">Features that it gives.</param>
    /// <param name="parts">The tensors by <see cref="Suffixes"/>.</param>
    /// <returns>The transform, or null where the kind is not known.</returns>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or holds numbers that no transform has.</exception>
    public static InputTransform? Load(string name, string kind, int columns, int features, IReadOnlyDictionary<string, Tensor> parts)
    {
        PartReader reader = new(name, parts, []);
        switch (kind)
        {
            case "whole": return new WholeInput();
            case "haar": return new HaarInput();
            case "scaled": return new ScaledInput(LoadFactors());
            case "selected": return new SelectedInput(LoadColumns());
            case "selected-scaled": return new SelectedScaledInput(LoadColumns(), LoadFactors());
            default: return null;
        }

        float[] LoadFactors()
        {
            Half* halves = (Half*)reader.Scales(Factors, ElementFormat.F16, features);
            float[] factors = new float[features];
            for (int c = 0; c < features; c++) factors[c] = (float)halves[c];
            return factors;
        }

        int[] LoadColumns()
        {
            int[] selected = new ReadOnlySpan<int>(reader.Bytes(Columns, ElementFormat.U32, (long)features * sizeof(int)), features).ToArray();
            return Fault(selected, columns) is { } fault ? throw new LowbitException($"tensor {reader.NameOf(Columns)}: {fault}; the file is damaged.") : selected;
        }
    }

    private static string? Fault(ReadOnlySpan<int> selected, int columns)
    {
        for (int i = 0; i < selected.Length; i++)
        {
            if ((uint)selected[i] >= (uint)columns || (i > 0 && selected[i] <= selected[i - 1]))
                return $"selected column {i} is {(uint)selected[i]}, a rising one below {columns} was expected";
        }
        return null;
    }
}
