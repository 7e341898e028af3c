using System.Collections.Immutable;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Models.Architectures;

namespace Lowbit.Models;

/// <summary>The declaration of a sum: those of its terms, each with what is done to its inputs.</summary>
internal static class CompositeDeclaration
{
    /// <summary>Name of the layout.</summary>
    public const string Composite = "composite";

    private const string Haar = "haar", Whole = "whole";

    private const int MostTerms = 4096;

    /// <summary>Packs a sum; null where the codes of a term have no layout.</summary>
    public static PackedMatrix? Pack(CompositeCodes codes, ElementFormat scaleFormat, PositionsForm positions)
    {
        JsonArray terms = [];
        ImmutableArray<PackedPart>.Builder parts = ImmutableArray.CreateBuilder<PackedPart>();
        for (int k = 0; k < codes.Terms.Length; k++)
        {
            (InputTransform input, MatrixCodes termCodes, bool haarOutput) = codes.Terms[k];
            if (termCodes is CompositeCodes || termCodes.Rows != codes.Rows || termCodes.Columns != input.Features(codes.Columns))
                throw new LowbitException($"the matrix to pack: term {k} is [{termCodes.Rows}, {termCodes.Columns}] or a sum itself, expected [{codes.Rows}, {input.Features(codes.Columns)}]; the method that made it is at fault.");
            if (Layouts.Pack(termCodes, scaleFormat, positions) is not { } term) return null;
            term.Declaration["input"] = InputPacking.Kind(input);
            if (haarOutput) term.Declaration["output"] = Haar;
            terms.Add((JsonNode)term.Declaration);
            foreach (PackedPart part in term.Parts) parts.Add(part with { Suffix = $"{k}.{part.Suffix}" });
            foreach (PackedPart part in InputPacking.Pack(input, codes.Columns)) parts.Add(part with { Suffix = $"{k}.{part.Suffix}" });
        }
        return new PackedMatrix(parts.ToImmutable(), Layouts.Declare(codes, Composite, ("terms", terms)));
    }

    /// <summary>The matrix.</summary>
    public static CompositeMatrix Load(Declaration entry)
    {
        ImmutableArray<ConfigReader> terms = entry.Entry.Objects("terms");
        if (terms.Length > MostTerms) throw entry.Entry.Wrong("terms", $"at most {MostTerms} terms");
        ImmutableArray<CompositeWeight>.Builder weights = ImmutableArray.CreateBuilder<CompositeWeight>();
        for (int k = 0; k < terms.Length; k++)
        {
            string kind = terms[k].Text("input");
            int features = InputPacking.Selects(kind) ? terms[k].Size("columns") : entry.Columns;
            Declaration term = entry.Inner(k, terms[k], features);
            if (term.Format == Composite) throw terms[k].Wrong("format", "a layout that is not a sum itself");
            var parts = term.Parts(InputPacking.Suffixes);
            InputTransform input = InputPacking.Load(term.Name, kind, entry.Columns, features, parts) ?? throw terms[k].Wrong("input", "whole, scaled, selected, selected-scaled or haar");
            long bytes = 0;
            foreach (Tensor part in parts.Values) bytes += part.Bytes;
            bool haarOutput = terms[k].Has("output") && term.Named("output", (Whole, false), (Haar, true));
            weights.Add(new CompositeWeight(input, Layouts.Load(term), bytes, haarOutput));
        }
        return new CompositeMatrix(entry.Name, entry.Rows, entry.Columns, weights.ToImmutable());
    }
}
