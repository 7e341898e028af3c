using System;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.Levels;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// Rebuilds the codebooks of a row as tables of 16 levels: level = (± n[i] ± n[j]) ± n[k] with the stored numbers n, of which some are left
/// out; which ones is the same for all codebooks of a matrix.
/// </summary>
internal sealed unsafe class LevelTables
{
    private const int Lanes = 8, Terms = 3;

    private readonly LevelForm _form;
    private readonly int _bits, _classes, _numbers, _groups; // numbers of all classes
    private readonly long _allNumbers;
    private readonly bool _isHalf;
    private readonly int[] _terms = new int[Terms * 3 * LevelRow.TableLength]; // [mean and scales; index, kept bits, sign; 16]

    /// <summary>Of a layout with at most 16 levels in all classes.</summary>
    public LevelTables(CodebookLayout layout)
    {
        (_form, _bits, _classes, _numbers, _groups) = (layout.Levels, layout.Bits, layout.Classes, layout.Numbers, layout.Groups);
        _allNumbers = layout.AllNumbers;
        _isHalf = layout.ScaleFormat == ElementFormat.F16;
        int numbers = layout.Levels.Numbers(layout.Bits);
        // The numbers of a code, found by trying: a number of 1 shows which levels it is in, and with which sign.
        float* one = stackalloc float[LevelRow.TableLength], levels = stackalloc float[LevelRow.TableLength];
        for (int code = 0; code < 1 << layout.Bits; code++)
        {
            int found = 0;
            for (int n = 0; n < numbers; n++)
            {
                new Span<float>(one, numbers).Clear();
                one[n] = 1;
                layout.Levels.Expand(new ReadOnlySpan<float>(one, numbers), new Span<float>(levels, 1 << layout.Bits));
                if (levels[code] == 0) continue;
                for (int k = 0; k < layout.Classes; k++)
                {
                    Span<int> term = _terms.AsSpan(found * 3 * LevelRow.TableLength + (k << layout.Bits) + code);
                    term[0] = k * numbers + n;
                    term[LevelRow.TableLength] = -1;
                    term[2 * LevelRow.TableLength] = levels[code] < 0 ? int.MinValue : 0;
                }
                found++;
            }
        }
    }

    /// <summary>Writes the tables of a row.</summary>
    /// <param name="numbers">All stored numbers of the matrix.</param>
    /// <param name="row">The row.</param>
    /// <param name="tables">[groups, 16].</param>
    public void Fill(byte* numbers, int row, float* tables)
    {
        int levels = _classes << _bits;
        long first = (long)row * _groups * _numbers;
        for (int group = 0; group < _groups; group++, first += _numbers, tables += LevelRow.TableLength)
        {
            if (_numbers > Lanes || first + Lanes > _allNumbers)
            {
                Expand(numbers, first, tables);
                continue;
            }
            Vector256<float> stored = _isHalf ? LoadHalves((short*)numbers + first) : Vector256.Load((float*)numbers + first);
            if (_form == LevelForm.Table) stored.Store(tables); // up to eight levels as they are
            else
                for (int lane = 0; lane < levels; lane += Lanes) ((Term(stored, 0, lane) + Term(stored, 1, lane)) + Term(stored, 2, lane)).Store(tables + lane);
        }
    }

    // Many numbers, or the last ones, behind which there need not be memory.
    private void Expand(byte* numbers, long first, float* tables)
    {
        float* source = stackalloc float[LevelRow.TableLength];
        for (int i = 0; i < _numbers; i++) source[i] = _isHalf ? FiniteHalf.ToFloat(((Half*)numbers)[first + i]) : ((float*)numbers)[first + i];
        int ofClass = _numbers / _classes;
        for (int k = 0; k < _classes; k++) _form.Expand(new ReadOnlySpan<float>(source + k * ofClass, ofClass), new Span<float>(tables + (k << _bits), 1 << _bits));
    }

    private Vector256<float> Term(Vector256<float> stored, int term, int lane)
    {
        ref int at = ref _terms[term * 3 * LevelRow.TableLength + lane];
        Vector256<float> number = Avx2.PermuteVar8x32(stored, Vector256.LoadUnsafe(ref at));
        return (number & Vector256.LoadUnsafe(ref at, LevelRow.TableLength).AsSingle()) ^ Vector256.LoadUnsafe(ref at, 2 * LevelRow.TableLength).AsSingle();
    }

    // Means are often subnormal halves, for which processors are slow in products: their exponent is made larger by 112, which gives
    // (1 + f) · 2^-15 for f · 2^-14, and 2^-14 is taken off twice that.
    private static Vector256<float> LoadHalves(short* source)
    {
        Vector256<int> bits = Avx2.ConvertToVector256Int32(source), size = bits << 13 & Vector256.Create(0x0FFF_E000);
        Vector256<float> normal = (size + Vector256.Create(112 << 23)).AsSingle(), subnormal = normal + normal - Vector256.Create(6.103515625e-5f);
        return Vector256.ConditionalSelect(Vector256.LessThan(size, Vector256.Create(1 << 23)).AsSingle(), subnormal, normal) | (bits & Vector256.Create(int.MinValue)).AsSingle();
    }
}
