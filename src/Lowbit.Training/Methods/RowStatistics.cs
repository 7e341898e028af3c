using System;

namespace Lowbit.Training.Methods;

/// <summary>What binarizers ask about a row, summed in double precision.</summary>
internal static class RowStatistics
{
    /// <summary>Mean of the weights.</summary>
    public static float Mean(ReadOnlySpan<float> row)
    {
        double sum = 0;
        foreach (float w in row) sum += w;
        return (float)(sum / row.Length);
    }

    /// <summary>Mean distance of the weights from a centre.</summary>
    public static float MeanDistance(ReadOnlySpan<float> row, float centre)
    {
        double sum = 0;
        foreach (float w in row) sum += Math.Abs(w - centre);
        return (float)(sum / row.Length);
    }

    /// <summary>Sets the gradient to zero where a weight is farther than <paramref name="limit"/> from the centre.</summary>
    public static void Clip(ReadOnlySpan<float> row, Span<float> gradient, float centre, float limit)
    {
        for (int i = 0; i < row.Length; i++)
        {
            if (MathF.Abs(row[i] - centre) > limit) gradient[i] = 0;
        }
    }
}
