using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;

namespace Lowbit.Kernels.Composite;

/// <summary>Packs what is done to the inputs of a term; see docs/formats/composite.md.</summary>
public static unsafe class InputPacking
{
    /// <summary>[features] factors of the inputs.</summary>
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
        switch (input)
        {
            case ScaledInput scaled:
                if (scaled.Factors.Length != columns) throw new LowbitException($"the matrix to pack: {scaled.Factors.Length} factors for {columns} columns; the method that made it is at fault.");
                return [HalfPart.Of(Factors, scaled.Factors, [columns])];
            case SelectedInput selected:
                return [Selection(selected.Columns, columns)];
            case SelectedScaledInput selected:
                if (selected.Factors.Length != selected.Columns.Length) throw new LowbitException($"the matrix to pack: {selected.Factors.Length} factors for {selected.Columns.Length} columns; the method that made it is at fault.");
                return [Selection(selected.Columns, columns), HalfPart.Of(Factors, selected.Factors, [selected.Factors.Length])];
            default:
                return [];
        }
    }

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
            case "whole":
                return new WholeInput();
            case "scaled":
                return new ScaledInput(LoadFactors(reader, columns));
            case "selected":
                return new SelectedInput(LoadSelection(reader, columns, features));
            case "selected-scaled":
                return new SelectedScaledInput(LoadSelection(reader, columns, features), LoadFactors(reader, features));
            case "haar":
                return new HaarInput();
            default:
                return null;
        }
    }

    private static PackedPart Selection(int[] selected, int columns)
    {
        if (Fault(selected, columns) is { } fault) throw new LowbitException($"the matrix to pack: {fault}; the method that made it is at fault.");
        return new PackedPart(Columns, ElementFormat.U32, [selected.Length], MemoryMarshal.AsBytes<int>(selected).ToArray());
    }

    private static int[] LoadSelection(PartReader reader, int columns, int features)
    {
        int[] selected = new ReadOnlySpan<int>(reader.Bytes(Columns, ElementFormat.U32, (long)features * sizeof(int)), features).ToArray();
        if (Fault(selected, columns) is { } fault) throw new LowbitException($"tensor {reader.NameOf(Columns)}: {fault}; the file is damaged.");
        return selected;
    }

    private static float[] LoadFactors(PartReader reader, int count)
    {
        Half* halves = (Half*)reader.Scales(Factors, ElementFormat.F16, count);
        float[] factors = new float[count];
        for (int i = 0; i < count; i++) factors[i] = (float)halves[i];
        return factors;
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
