using System;

namespace Lowbit.Kernels.Integers;

/// <summary>How much of normal numbers the forms leave out.</summary>
internal static class FormLoss
{
    private const double DeviationOfScale = 1.7; // of the normal numbers whose class is that of a logistic scale
    private const int Farthest = 255;

    private static readonly double[] s_entries = new double[ChunkForms.Count * SpreadTables.Classes];

    static FormLoss()
    {
        for (int form = 0; form < ChunkForms.Count; form++)
            for (int k = 0; k < SpreadTables.Classes; k++) s_entries[SpreadTables.Classes * form + k] = Expected((ChunkForm)form, k);
    }

    /// <summary>Entries that a weight of a class (<see cref="SpreadTables"/>) has on average.</summary>
    public static double Entries(ChunkForm form, int spread) => s_entries[SpreadTables.Classes * (int)form + spread];

    private static unsafe double Expected(ChunkForm form, int spread)
    {
        TupleTable? tuples = ChunkForms.Tuples(form);
        int reach = tuples?.Reach ?? ChunkForms.Offset(form);
        // Shares of the integers in reach; those beyond are brought to the last ones.
        double[] shares = new double[2 * reach];
        double beyond = 0, deviation = DeviationOfScale * SpreadTables.Scale(spread);
        for (int q = -Farthest; q <= Farthest; q++)
        {
            double share = Normal((q + 0.5) / deviation) - Normal((q - 0.5) / deviation);
            int within = Math.Clamp(q, -reach, reach - 1);
            shares[within + reach] += share;
            beyond += share * Math.Abs(q - within);
        }
        if (tuples is null) return beyond;
        double distance = 0;
        for (int index = 0; index < Math.Pow(2 * reach, tuples.Size); index++)
        {
            double share = 1;
            int code = tuples.Nearest[index], apart = 0;
            for (int place = 0, rest = index; place < tuples.Size; place++, rest /= 2 * reach)
            {
                share *= shares[rest % (2 * reach)];
                apart += Math.Abs(rest % (2 * reach) - reach - tuples.Integer(place, code));
            }
            distance += share * apart;
        }
        return beyond + distance / tuples.Size;
    }

    // The share of normal numbers below x (Abramowitz and Stegun 26.2.17, to 7.5e-8).
    private static double Normal(double x)
    {
        double t = 1 / (1 + 0.2316419 * Math.Abs(x));
        double upper = Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI) * t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
        return x < 0 ? upper : 1 - upper;
    }
}
