using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// The numbers that say how the parts of a packed matrix of codebooks lie; the bytes themselves are described in
/// docs/formats/codebook.md.
/// </summary>
/// <param name="Rows">Output features.</param>
/// <param name="Columns">Input features.</param>
/// <param name="Bits">Bits of a code, 1 to 4.</param>
/// <param name="GroupSize">Consecutive columns that share their codebooks.</param>
/// <param name="Levels">What is stored of a codebook.</param>
/// <param name="Classes">Codebooks of a row and group: 1, or 2 where columns come in two classes.</param>
/// <param name="ScaleFormat">F16 or F32, of the numbers that are stored of codebooks.</param>
public sealed record CodebookLayout(int Rows, int Columns, int Bits, int GroupSize, LevelForm Levels, int Classes, ElementFormat ScaleFormat)
{
    /// <summary>Columns of a block.</summary>
    public const int BlockLength = 64;

    /// <summary>Blocks of a row; the last one is padded with zeros.</summary>
    public int Blocks => (int)(((long)Columns + BlockLength - 1) / BlockLength);

    /// <summary>Groups of a row.</summary>
    public int Groups => (int)(((long)Columns + GroupSize - 1) / GroupSize);

    /// <summary>Bytes of the codes of a block.</summary>
    public int BlockBytes => Levels.IsTernary() ? TernaryBlock.Bytes : BlockLength / 8 * Bits;

    /// <summary>Bytes of all codes.</summary>
    public long CodeBytes => (long)Rows * Blocks * BlockBytes;

    /// <summary>Numbers that are stored for a row and group.</summary>
    public int Numbers => Classes * Levels.Numbers(Bits);

    /// <summary>Numbers that are stored of all codebooks.</summary>
    public long AllNumbers => (long)Rows * Groups * Numbers;

    /// <summary>Bytes of the classes of the columns.</summary>
    public long ClassBytes => Classes == 1 ? 0 : ((long)Columns + 7) / 8;

    /// <summary>Refuses numbers that no matrix has.</summary>
    /// <param name="name">Name of the matrix, for the message.</param>
    /// <returns>The layout itself.</returns>
    /// <exception cref="LowbitException">A number is outside of its range.</exception>
    public CodebookLayout Check(string name)
    {
        LayoutCheck check = new(name, "codebook layout", Rows, Columns);
        check.Require(Bits is >= 1 and <= 4, nameof(Bits), Bits, "1 to 4");
        check.Require(GroupSize > 0, nameof(GroupSize), GroupSize, "a positive number");
        check.Require(Enum.IsDefined(Levels) && Levels.Fits(Bits), nameof(Levels), Levels, $"a form of {Bits}-bit codes");
        check.Require(Classes is 1 or 2, nameof(Classes), Classes, "1 or 2");
        check.Require(ScaleFormat is ElementFormat.F16 or ElementFormat.F32, nameof(ScaleFormat), ScaleFormat, "F16 or F32");
        return this;
    }
}

/// <summary>Packs codes into the bytes that are stored and computed from; see docs/formats/codebook.md.</summary>
public static unsafe class CodebookPacking
{
    /// <summary>[rows, blocks · block bytes] codes.</summary>
    public const string Codes = "c_codes";

    /// <summary>[rows, groups, classes · numbers] levels, or the numbers that they are made of.</summary>
    public const string Levels = "c_levels";

    /// <summary>[columns / 8, rounded up] a bit a column, 1 for the second class.</summary>
    public const string Class = "c_class";

    /// <summary>All parts that a matrix may have.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Codes, Levels, Class];

    /// <summary>
    /// Packs a matrix; what is stored of the codebooks is the shortest form that gives all levels exactly, in half precision
    /// where that has one.
    /// </summary>
    /// <param name="codes">The matrix.</param>
    /// <exception cref="LowbitException">A code is outside of its range, or a level is not finite.</exception>
    public static Packed<CodebookLayout> Pack(CodebookCodes codes)
    {
        CodebookLayout layout = new(codes.Rows, codes.Columns, codes.Bits, codes.GroupSize, LevelForm.Table, codes.Classes, ElementFormat.F16);
        layout.Check("the matrix to pack");
        bool lastCodeOccurs = CheckCodes(codes);
        foreach (ElementFormat format in new[] { ElementFormat.F16, ElementFormat.F32 })
            foreach (LevelForm form in LevelForms.BySize)
            {
                if (!form.Fits(codes.Bits) || (form.IsTernary() && lastCodeOccurs) || Numbers(codes, form, format) is not { } numbers) continue;
                layout = layout with { Levels = form, ScaleFormat = format };
                List<PackedPart> parts =
                [
                    new(Codes, ElementFormat.U8, [layout.Rows, (long)layout.Blocks * layout.BlockBytes], PackCodes(codes, layout)),
                    new(Levels, format, [layout.Rows, layout.Groups, layout.Numbers], numbers),
                ];
                if (codes.SecondClass is not null) parts.Add(new(Class, ElementFormat.U8, [layout.ClassBytes], Bitmap(codes.SecondClass)));
                return new Packed<CodebookLayout>(layout, [.. parts]);
            }
        int wrong = Array.FindIndex(codes.Levels, level => !float.IsFinite(level));
        throw new LowbitException($"the matrix to pack: level {wrong} is {codes.Levels[wrong]}, a finite number was expected; look for the fault in the weight.");
    }

    // Whether the last code occurs.
    private static bool CheckCodes(CodebookCodes codes)
    {
        int last = (1 << codes.Bits) - 1, wrong = codes.Codes.AsSpan().IndexOfAnyExceptInRange((byte)0, (byte)last);
        if (wrong >= 0)
            throw new LowbitException($"the matrix to pack: code {codes.Codes[wrong]} at [{wrong / codes.Columns}, {wrong % codes.Columns}] does not fit {codes.Bits} bits; the method that made it is at fault.");
        return codes.Codes.AsSpan().Contains((byte)last);
    }

    private static byte[] PackCodes(CodebookCodes codes, CodebookLayout layout)
    {
        byte[] packed = new byte[layout.CodeBytes];
        byte* block = stackalloc byte[CodebookLayout.BlockLength];
        fixed (byte* target = packed)
        {
            for (int r = 0; r < layout.Rows; r++)
                for (int b = 0; b < layout.Blocks; b++)
                {
                    new Span<byte>(block, CodebookLayout.BlockLength).Clear();
                    int first = b * CodebookLayout.BlockLength, count = Math.Min(CodebookLayout.BlockLength, layout.Columns - first);
                    codes.Codes.AsSpan(checked(r * layout.Columns + first), count).CopyTo(new Span<byte>(block, count));
                    byte* at = target + ((long)r * layout.Blocks + b) * layout.BlockBytes;
                    if (layout.Levels.IsTernary()) TernaryBlock.Pack(block, at);
                    else CodeBlock.Pack(block, layout.Bits, at);
                }
        }
        return packed;
    }

    // Null where the form does not give the levels, or not exactly.
    private static byte[]? Numbers(CodebookCodes codes, LevelForm form, ElementFormat format)
    {
        int size = 1 << codes.Bits, count = form.Numbers(codes.Bits);
        bool half = format == ElementFormat.F16;
        float[] numbers = new float[codes.Levels.LongLength / size * count];
        for (int i = 0; i < codes.Levels.Length / size; i++)
        {
            if (!form.TryFit(codes.Levels.AsSpan(i * size, size), half, numbers.AsSpan(i * count, count))) return null;
        }
        return half ? MemoryMarshal.AsBytes<Half>(Array.ConvertAll(numbers, number => (Half)number)).ToArray() : MemoryMarshal.AsBytes<float>(numbers).ToArray();
    }

    private static byte[] Bitmap(bool[] secondClass)
    {
        byte[] bits = new byte[(secondClass.Length + 7) / 8];
        for (int c = 0; c < secondClass.Length; c++)
        {
            if (secondClass[c]) bits[c / 8] |= (byte)(1 << c % 8);
        }
        return bits;
    }
}
